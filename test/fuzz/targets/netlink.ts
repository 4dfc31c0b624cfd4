/** Messages of rtnetlink: what the kernel tells of links, addresses, routes and neighbours. */
import { parseAddress, parseLink, parseNeighbour, parseRoute } from "../../../src/native/netlink/messages.ts";
import { type Notification, readNotifications } from "../../../src/native/netlink/notifications.ts";
import { readAmid } from "../surroundings.ts";
import { expectThat, type Target } from "../target.ts";

const PARSERS = { parseLink, parseAddress, parseRoute, parseNeighbour };

export const target: Target = {
  about:
    "netlink messages of links, addresses, routes, neighbours: no read beyond a message, and no value that no kernel has",
  longest: 1024,
  rounds: 4000,
  words: [
    "\x10\0",
    "\x14\0",
    "\x18\0",
    "\x1c\0",
    "\x08\0\x03\0eth0",
    "\x08\0\x04\0\xdc\x05\0\0",
    "\x0a\0\x01\0\x02\0\0\0\0\x01\0\0",
    "\x08\0\x02\0\x0a\0\0\x01",
    "\x14\0\x01\0",
    "\x0c\0\x12\x80",
  ],

  take(input) {
    const told = readAmid(input, ({ bytes, from, to }) => {
      const found: string[] = [];
      // A view of the message alone, as the socket gives it.
      readNotifications(bytes.subarray(from, to), (notification) => found.push(check(notification)));
      return found.join();
    });
    const bodies = Object.values(PARSERS).map((parse) =>
      readAmid(input, ({ bytes, from, to }) => JSON.stringify(parse(bytes.subarray(from, to)))),
    );
    return `${told.slice(0, 200)} ${bodies.map((body) => body === "null").join("")}`;
  },
};

function check(notification: Notification): string {
  if (notification.kind === "address") {
    const { bytes, family } = notification.address;
    expectThat(bytes.length === (family === 4 ? 4 : 16), () => `An address of ${bytes.length} bytes`);
    return `address ${family} ${notification.isGone}`;
  }
  if (notification.kind === "neighbour") {
    const { bytes, mac, state } = notification.neighbour;
    expectThat(
      bytes.length === 4 || bytes.length === 16,
      () => `A neighbour with an address of ${bytes.length} bytes`,
    );
    return `neighbour ${bytes.length} ${mac.length > 0} ${state > 0} ${notification.isGone}`;
  }
  if (notification.kind === "link") {
    const { name, mtu, largest, ifindex, kind } = notification.link;
    expectThat(Number.isInteger(ifindex) && mtu >= 0 && largest >= 0, () => JSON.stringify(notification));
    expectThat(
      !name.includes("\0") && !kind.includes("\0"),
      () => `A name with a zero: ${JSON.stringify(name)}`,
    );
    return `link ${notification.isGone} ${name !== ""} ${mtu > 0} ${kind !== ""} ${largest > 0}`;
  }
  return notification.kind;
}
