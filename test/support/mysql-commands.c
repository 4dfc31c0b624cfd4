/*
 * A client by libmariadb, for what scripts cannot say: says each of the commands named, in order,
 * on one connection. usage: mysql-commands HOST PORT compress|plain FILE COMMAND... Tables:
 * shop.texts (id, text), shop.numbers (x); the users of test/e2e/mysql-commands.test.ts.
 */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE (17 << 20)
#define CHUNK 100000
#define ROWS 50

static MYSQL *connection;
static const char *file;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "Cannot %s: %s\n", what, why);
    exit(1);
}

static void query(const char *text) {
    if (mysql_query(connection, text))
        fail(text, mysql_error(connection));
    for (;;) {
        MYSQL_RES *result = mysql_store_result(connection);

        if (result)
            mysql_free_result(result);
        else if (mysql_errno(connection))
            fail(text, mysql_error(connection));
        int next = mysql_next_result(connection);

        if (next > 0)
            fail(text, mysql_error(connection));
        if (next < 0)
            return;
    }
}

static void check(MYSQL_STMT *statement, const char *what, int failed) {
    if (failed)
        fail(what, mysql_stmt_error(statement));
}

static MYSQL_STMT *prepare(const char *text) {
    MYSQL_STMT *statement = mysql_stmt_init(connection);

    check(statement, text, mysql_stmt_prepare(statement, text, strlen(text)));
    return statement;
}

static void close_statement(MYSQL_STMT *statement) {
    if (mysql_stmt_close(statement))
        fail("close", mysql_error(connection));
}

/* Rows by a cursor: COM_STMT_EXECUTE, several COM_STMT_FETCH. */
static void cursor(void) {
    MYSQL_STMT *statement = prepare("SELECT x FROM numbers WHERE x <= 100 ORDER BY x");
    unsigned long type = CURSOR_TYPE_READ_ONLY, rows = 7;
    int value = 0, count = 0;
    MYSQL_BIND column = {.buffer_type = MYSQL_TYPE_LONG, .buffer = &value};

    mysql_stmt_attr_set(statement, STMT_ATTR_CURSOR_TYPE, &type);
    mysql_stmt_attr_set(statement, STMT_ATTR_PREFETCH_ROWS, &rows);
    for (int round = 0; round < 2; round++) {
        check(statement, "execute", mysql_stmt_execute(statement));
        check(statement, "bind", mysql_stmt_bind_result(statement, &column));
        /* The second time the cursor is left open, and closed with the statement. */
        while (!mysql_stmt_fetch(statement) && (!round || count < 110))
            count++;
    }
    if (count != 110)
        fail("fetch", "other rows than there are");
    close_statement(statement);
}

static void send_text(MYSQL_STMT *statement, int id, const char *text, size_t length) {
    MYSQL_BIND values[2] = {
        {.buffer_type = MYSQL_TYPE_LONG, .buffer = &id},
        {.buffer_type = MYSQL_TYPE_STRING, .buffer = (void *)text, .buffer_length = length},
    };

    check(statement, "bind", mysql_stmt_bind_param(statement, values));
    check(statement, "execute", mysql_stmt_execute(statement));
}

/* A value in pieces, one of which is larger than a segment of xcopy; RESET forgets what was sent
 * before. */
static void long_data(void) {
    MYSQL_STMT *statement = prepare("INSERT INTO texts VALUES (?, ?)");
    static char text[CHUNK];
    int id = 1;
    MYSQL_BIND values[2] = {
        {.buffer_type = MYSQL_TYPE_LONG, .buffer = &id},
        {.buffer_type = MYSQL_TYPE_STRING},
    };

    memset(text, 'l', sizeof(text));
    check(statement, "bind", mysql_stmt_bind_param(statement, values));
    check(statement, "send", mysql_stmt_send_long_data(statement, 1, "forgotten", 9));
    check(statement, "reset", mysql_stmt_reset(statement));
    for (id = 1; id < 3; id++) {
        for (int piece = 0; piece < 3; piece++)
            check(statement, "send", mysql_stmt_send_long_data(statement, 1, text, CHUNK >> piece));
        check(statement, "execute", mysql_stmt_execute(statement));
    }
    close_statement(statement);
}

/* MariaDB: many rows in one COM_STMT_BULK_EXECUTE. */
static void bulk(void) {
    MYSQL_STMT *statement = prepare("INSERT INTO numbers VALUES (?)");
    unsigned int rows = ROWS;
    int values[ROWS];
    MYSQL_BIND column = {.buffer_type = MYSQL_TYPE_LONG, .buffer = values};

    for (int row = 0; row < ROWS; row++)
        values[row] = 1000 + row;
    mysql_stmt_attr_set(statement, STMT_ATTR_ARRAY_SIZE, &rows);
    check(statement, "bind", mysql_stmt_bind_param(statement, &column));
    check(statement, "execute", mysql_stmt_execute(statement));
    close_statement(statement);
}

/* Other users, whose plugins need a switch and whose passwords differ at the target; one has none.
 */
static void change_user(void) {
    if (mysql_change_user(connection, "strong", "online-2", "shop"))
        fail("become strong", mysql_error(connection));
    query("INSERT INTO texts VALUES (10, CURRENT_USER())");
    if (mysql_change_user(connection, "open", "", "other"))
        fail("become open", mysql_error(connection));
    query("INSERT INTO there VALUES (1)");
    if (mysql_change_user(connection, "shop", "online-1", "shop"))
        fail("become shop", mysql_error(connection));
    query("INSERT INTO texts VALUES (11, CURRENT_USER())");
}

/* What the connection had is gone: a variable, and statements, whose numbers begin anew or not. */
static void reset_connection(void) {
    MYSQL_STMT *statement = prepare("SELECT 1");

    query("SET @kept = 'kept'");
    if (mysql_reset_connection(connection))
        fail("reset the connection", mysql_error(connection));
    mysql_stmt_close(statement);
    query("INSERT INTO texts VALUES (20, IFNULL(@kept, 'gone'))");
    statement = prepare("INSERT INTO texts VALUES (?, ?)");
    send_text(statement, 21, "after", 5);
    close_statement(statement);
}

static void init_db(void) {
    if (mysql_select_db(connection, "other"))
        fail("select a database", mysql_error(connection));
    query("INSERT INTO there VALUES (2)");
    if (mysql_select_db(connection, "shop"))
        fail("select a database", mysql_error(connection));
    query("INSERT INTO numbers VALUES (3000)");
}

static void infile(void) {
    char text[1024];

    snprintf(text, sizeof(text), "LOAD DATA LOCAL INFILE '%s' INTO TABLE numbers", file);
    query(text);
}

static void multi(void) {
    query("INSERT INTO numbers VALUES (4000); SELECT * FROM numbers; INSERT INTO numbers VALUES "
          "(4001)");
}

/* Over 16 MiB: as text, and as a parameter. */
static void large(void) {
    static char text[LARGE + 100];
    size_t length = sprintf(text, "INSERT INTO texts VALUES (30, '");
    MYSQL_STMT *statement;

    memset(text + length, 'x', LARGE);
    length += LARGE;
    length += sprintf(text + length, "')");
    if (mysql_real_query(connection, text, length))
        fail("send a large statement", mysql_error(connection));
    statement = prepare("INSERT INTO texts VALUES (?, ?)");
    send_text(statement, 31, text, length);
    close_statement(statement);
}

static void ping(void) {
    if (mysql_ping(connection))
        fail("ping", mysql_error(connection));
}

static const struct {
    const char *name;
    void (*run)(void);
} COMMANDS[] = {
    {"cursor", cursor},
    {"long-data", long_data},
    {"bulk", bulk},
    {"change-user", change_user},
    {"reset-connection", reset_connection},
    {"init-db", init_db},
    {"infile", infile},
    {"multi", multi},
    {"large", large},
    {"ping", ping},
};

static void run(const char *name) {
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(*COMMANDS); i++) {
        if (strcmp(COMMANDS[i].name, name) == 0) {
            COMMANDS[i].run();
            return;
        }
    }
    fail(name, "no such command");
}

int main(int argc, char **argv) {
    unsigned long most = 64 << 20;
    unsigned int local = 1;

    if (argc < 5)
        fail("begin", "usage: mysql-commands HOST PORT compress|plain FILE COMMAND...");
    file = argv[4];
    connection = mysql_init(NULL);
    mysql_options(connection, MYSQL_OPT_MAX_ALLOWED_PACKET, &most);
    mysql_options(connection, MYSQL_OPT_LOCAL_INFILE, &local);
    if (strcmp(argv[3], "compress") == 0)
        mysql_options(connection, MYSQL_OPT_COMPRESS, NULL);
    if (!mysql_real_connect(connection, argv[1], "shop", "online-1", "shop", atoi(argv[2]), NULL,
                            CLIENT_MULTI_STATEMENTS | CLIENT_LOCAL_FILES))
        fail("connect", mysql_error(connection));
    for (int i = 5; i < argc; i++)
        run(argv[i]);
    mysql_close(connection);
    return 0;
}
