/** Names of link types that cannot be read (https://www.tcpdump.org/linktypes.html, without LINKTYPE_). */
const NAMES: Record<number, string> = {
  3: "AX25",
  6: "IEEE802_5",
  7: "ARCNET_BSD",
  8: "SLIP",
  118: "CISCO_IOS",
  122: "IP_OVER_FC",
  123: "SUNATM",
  129: "ARCNET_LINUX",
  143: "DOCSIS",
  144: "LINUX_IRDA",
  147: "USER0",
  148: "USER1",
  149: "USER2",
  150: "USER3",
  177: "LINUX_LAPD",
  187: "BLUETOOTH_HCI_H4",
  189: "USB_LINUX",
  190: "CAN20B",
  195: "IEEE802_15_4_WITHFCS",
  197: "ERF",
  201: "BLUETOOTH_HCI_H4_WITH_PHDR",
  220: "USB_LINUX_MMAPPED",
  224: "FC_2",
  227: "CAN_SOCKETCAN",
  230: "IEEE802_15_4_NOFCS",
  231: "DBUS",
  243: "MPEG_2_TS",
  244: "NG40",
  247: "INFINIBAND",
  248: "SCTP",
  249: "USBPCAP",
  251: "BLUETOOTH_LE_LL",
  252: "WIRESHARK_UPPER_PDU",
  253: "NETLINK",
  254: "BLUETOOTH_LINUX_MONITOR",
  256: "BLUETOOTH_LE_LL_WITH_PHDR",
  271: "VSOCK",
  272: "NORDIC_BLE",
  288: "USB_2_0",
};

/** `220 (USB_LINUX_MMAPPED)`, or the number alone. */
export function nameOfLink(linkType: number): string {
  const name = NAMES[linkType];
  return name === undefined ? `${linkType}` : `${linkType} (${name})`;
}
