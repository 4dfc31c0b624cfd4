/** Notifications for a thread with an event loop: Bun's own epoll wakes it, so that nothing is spent while nothing changes. */
import { type Notification, openNotifications, readNotifications, type Topic } from "./notifications.ts";

/**
 * Calls `onNotifications` with what the kernel tells of these topics, those of one wake-up together, in the network namespace in
 * which it is called, until the function that it returns is called. Does not keep the process alive. Throws a NetlinkError.
 */
export async function followNotifications(
  topics: readonly Topic[],
  onNotifications: (notifications: Notification[]) => void,
  room?: number,
): Promise<() => void> {
  let isOver = false;
  let socket: Bun.Socket | null = null;
  const open = async (): Promise<void> => {
    // Declared, but `Bun.connect` is not declared to take it.
    const options: Bun.FdSocketOptions = {
      fd: openNotifications(topics, room),
      socket: {
        data(_, bytes) {
          const found: Notification[] = [];
          readNotifications(bytes, (notification) => found.push(notification));
          if (found.length > 0 && !isOver) onNotifications(found);
        },
        // Bun closes a socket at any error: there was no room for a notification (ENOBUFS).
        close() {
          if (isOver) return;
          open().then(() => onNotifications([{ kind: "lost" }]));
        },
      },
    };
    socket = await Bun.connect(options as unknown as Bun.TCPSocketConnectOptions);
    socket.unref();
    if (isOver) socket.terminate();
  };
  await open();
  return () => {
    isOver = true;
    socket?.terminate();
  };
}
