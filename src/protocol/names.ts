/** The names of the protocol modules. */
export type ProtocolName = "http" | "mysql";
