/** Constants of the MySQL client/server protocol (MySQL: my_command.h, mysql_com.h; MariaDB knowledge base, "protocol"). */

// Commands.
export const COM_QUIT = 0x01;
export const COM_INIT_DB = 0x02;
export const COM_QUERY = 0x03;
export const COM_FIELD_LIST = 0x04;
export const COM_CREATE_DB = 0x05;
export const COM_DROP_DB = 0x06;
export const COM_REFRESH = 0x07;
export const COM_SHUTDOWN = 0x08;
export const COM_STATISTICS = 0x09;
export const COM_PROCESS_INFO = 0x0a;
export const COM_PROCESS_KILL = 0x0c;
export const COM_DEBUG = 0x0d;
export const COM_PING = 0x0e;
export const COM_CHANGE_USER = 0x11;
export const COM_BINLOG_DUMP = 0x12;
export const COM_TABLE_DUMP = 0x13;
export const COM_REGISTER_SLAVE = 0x15;
export const COM_STMT_PREPARE = 0x16;
export const COM_STMT_EXECUTE = 0x17;
export const COM_STMT_SEND_LONG_DATA = 0x18;
export const COM_STMT_CLOSE = 0x19;
export const COM_STMT_RESET = 0x1a;
export const COM_SET_OPTION = 0x1b;
export const COM_STMT_FETCH = 0x1c;
export const COM_BINLOG_DUMP_GTID = 0x1e;
export const COM_RESET_CONNECTION = 0x1f;
/** MariaDB: executes a prepared statement for several rows of parameters. */
export const COM_STMT_BULK_EXECUTE = 0xfa;

/** Not a command of the protocol: the file that a client sends for LOAD DATA LOCAL INFILE. */
export const LOCAL_DATA = 0xff;

/** Whether the server does not answer this command. */
export function hasNoAnswer(command: number): boolean {
  return command === COM_QUIT || command === COM_STMT_CLOSE || command === COM_STMT_SEND_LONG_DATA;
}

/** Whether the command names a prepared statement. */
export function isOfStatement(command: number): boolean {
  return (
    (command >= COM_STMT_EXECUTE && command <= COM_STMT_RESET) ||
    command === COM_STMT_FETCH ||
    command === COM_STMT_BULK_EXECUTE
  );
}

export function isKnown(command: number): boolean {
  return (command >= COM_QUIT && command <= COM_RESET_CONNECTION) || command === COM_STMT_BULK_EXECUTE;
}

// Capabilities.
export const CLIENT_LONG_PASSWORD = 1 << 0;
export const CLIENT_LONG_FLAG = 1 << 2;
export const CLIENT_CONNECT_WITH_DB = 1 << 3;
export const CLIENT_COMPRESS = 1 << 5;
export const CLIENT_LOCAL_FILES = 1 << 7;
export const CLIENT_PROTOCOL_41 = 1 << 9;
export const CLIENT_SSL = 1 << 11;
export const CLIENT_TRANSACTIONS = 1 << 13;
export const CLIENT_SECURE_CONNECTION = 1 << 15;
export const CLIENT_MULTI_STATEMENTS = 1 << 16;
export const CLIENT_MULTI_RESULTS = 1 << 17;
export const CLIENT_PS_MULTI_RESULTS = 1 << 18;
export const CLIENT_PLUGIN_AUTH = 1 << 19;
export const CLIENT_CONNECT_ATTRS = 1 << 20;
export const CLIENT_PLUGIN_AUTH_LENENC = 1 << 21;
export const CLIENT_SESSION_TRACK = 1 << 23;
export const CLIENT_DEPRECATE_EOF = 1 << 24;
export const CLIENT_OPTIONAL_METADATA = 1 << 25;
export const CLIENT_ZSTD = 1 << 26;
export const CLIENT_QUERY_ATTRIBUTES = 1 << 27;
/** Several factors of authentication (since MySQL 8.0); xcopy supports one. */
export const CLIENT_MULTI_FACTOR = 1 << 28;

// The upper half of MariaDB's capabilities (its servers do not set CLIENT_LONG_PASSWORD).
export const MARIADB_PROGRESS = 1 << 0;
export const MARIADB_CACHE_METADATA = 1 << 4;

// Status flags.
export const STATUS_MORE_RESULTS = 0x0008;
export const STATUS_CURSOR_EXISTS = 0x0040;
export const STATUS_NO_BACKSLASH_ESCAPES = 0x0200;

// The first byte of a packet.
export const OK = 0x00;
export const MORE_DATA = 0x01;
export const LOCAL_INFILE = 0xfb;
export const EOF = 0xfe;
export const ERR = 0xff;

/** Error code of MariaDB's progress reports, sent while a long command runs (CLIENT_PROGRESS). */
export const PROGRESS = 0xffff;

/** Payload bytes of a packet that is continued by the next packet. */
export const MOST_PAYLOAD = 0xffffff;
