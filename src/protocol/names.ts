/** The protocol modules there are. */
export type ProtocolName = "http" | "mysql";
