// What the PostgreSQL JDBC driver gets of an order. Arguments: the address, the order, its key. Prints the receipts. With `metadata` as
// a fourth it asks for whatever the metadata can be asked, and nothing else.

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public class Jdbc {
    static final String TABLE = "trip_records";

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("password", arguments[2]);
        // Named statements and binary values from the first use on.
        properties.setProperty("prepareThreshold", "1");
        try (Connection connection = DriverManager.getConnection(arguments[0], properties)) {
            if (arguments.length > 3) {
                everyMethod(connection.getMetaData());
                return;
            }
            metadata(connection);
            prepared(connection);
            fetchSize(connection);
            refused(connection);
        }
    }

    static void check(Object expected, Object found) {
        if (expected == null ? found != null : !expected.equals(found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    static List<String> column(ResultSet results, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (results.next()) {
            values.add(results.getString(name));
        }
        results.close();
        return values;
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        check("PostgreSQL", metadata.getDatabaseProductName());
        check("16.9", metadata.getDatabaseProductVersion());
        check("lingqu", connection.getCatalog());
        check("public", connection.getSchema());
        check(List.of(TABLE), column(metadata.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"));
        check(List.of(TABLE), column(metadata.getTables("lingqu", null, TABLE, new String[] {"TABLE", "VIEW"}), "TABLE_NAME"));
        check(true, column(metadata.getSchemas(), "TABLE_SCHEM").contains("public"));
        check(
            List.of("trip_id", "line", "day", "delay", "vehicle", "note"),
            column(metadata.getColumns(null, "public", TABLE, "%"), "COLUMN_NAME"));
        check(
            List.of("int8", "text", "date", "int8", "text", "text"),
            column(metadata.getColumns(null, "public", TABLE, "%"), "TYPE_NAME"));
        // What identifies a row, and that nothing else does.
        check(List.of("trip_id"), column(metadata.getPrimaryKeys(null, "public", TABLE), "COLUMN_NAME"));
        check(List.of("1"), column(metadata.getPrimaryKeys("lingqu", null, TABLE), "KEY_SEQ"));
        check(List.of(TABLE + "_pkey"), column(metadata.getPrimaryKeys(null, "public", TABLE), "PK_NAME"));
        check(List.of("trip_id"), column(metadata.getIndexInfo(null, "public", TABLE, true, true), "COLUMN_NAME"));
        check(List.of(TABLE + "_pkey"), column(metadata.getIndexInfo(null, "public", TABLE, false, false), "INDEX_NAME"));
        check(
            List.of("trip_id"),
            column(
                metadata.getBestRowIdentifier(null, "public", TABLE, DatabaseMetaData.bestRowSession, false), "COLUMN_NAME"));
        check(
            List.of("NO", "YES", "YES", "YES", "YES", "YES"),
            column(metadata.getColumns(null, "public", TABLE, "%"), "IS_NULLABLE"));
        check(List.of(), column(metadata.getPrimaryKeys(null, "public", "other"), "COLUMN_NAME"));
        check(32, metadata.getMaxColumnsInIndex());
        // What tools ask as well when they look at a table.
        check(List.of(), column(metadata.getImportedKeys(null, "public", TABLE), "FK_NAME"));
        check(List.of(), column(metadata.getExportedKeys(null, "public", TABLE), "FK_NAME"));
        check(List.of(), column(metadata.getCrossReference(null, "public", TABLE, null, "public", TABLE), "FK_NAME"));
        check(true, column(metadata.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int8", "text", "date", "numeric")));
        check(List.of(), column(metadata.getTablePrivileges(null, "public", TABLE), "GRANTEE"));
        check(List.of(), column(metadata.getColumnPrivileges(null, "public", TABLE, "%"), "GRANTEE"));
        check(true, column(metadata.getFunctions(null, "pg_catalog", "abs"), "FUNCTION_NAME").contains("abs"));
        check(List.of(), column(metadata.getProcedures(null, "public", "%"), "PROCEDURE_NAME"));
        // The comments of the catalogue, in escapes: the compiler may take this file for ASCII.
        List<String> meanings = new ArrayList<>();
        for (String name : List.of("trip_id", "line", "day", "delay", "vehicle", "note")) {
            meanings.add(name + " \u7684\u542b\u4e49");
        }
        check(meanings, column(metadata.getColumns(null, "public", TABLE, "%"), "REMARKS"));
        check(
            List.of(TABLE + "\uff1a\u6d4b\u8bd5\u4ea7\u54c1"),
            column(metadata.getTables(null, "public", "%", new String[] {"TABLE"}), "REMARKS"));
    }

    /** A known limit: the driver can't read the arrays of functions' arguments as they are answered. */
    static final List<String> UNREAD = List.of("getFunctionColumns", "getProcedureColumns");

    /** Whatever the metadata can be asked is answered, to the last cell; none fails but by the driver's own word that it has not got it. */
    static void everyMethod(DatabaseMetaData metadata) throws Exception {
        int answered = 0;
        // A catalogue, a schema and a table, in this order wherever a method takes names; then whatever there is.
        for (List<String> names : List.of(List.of("lingqu", "public", TABLE, "%"), List.of("", "", "%", "%"))) {
            for (Method method : DatabaseMetaData.class.getDeclaredMethods()) {
                if (UNREAD.contains(method.getName())) {
                    continue;
                }
                Object[] arguments = new Object[method.getParameterCount()];
                int named = 0;
                for (int at = 0; at < arguments.length; at++) {
                    Class<?> type = method.getParameterTypes()[at];
                    if (type == String.class) {
                        String name = names.get(named++ % names.size());
                        arguments[at] = name.isEmpty() ? null : name;
                    } else if (type == int.class) {
                        arguments[at] = 1;
                    } else if (type == boolean.class) {
                        arguments[at] = false;
                    }
                }
                try {
                    if (method.invoke(metadata, arguments) instanceof ResultSet results) {
                        while (results.next()) {
                            for (int column = 1; column <= results.getMetaData().getColumnCount(); column++) {
                                results.getString(column);
                            }
                        }
                        results.close();
                    }
                    answered++;
                } catch (InvocationTargetException error) {
                    if (!(error.getCause() instanceof SQLFeatureNotSupportedException)) {
                        throw new AssertionError(method + " of " + names, error.getCause());
                    }
                }
            }
        }
        check(true, answered > 300);
        // The type of the table's rows is the one that there is besides PostgreSQL's own, also once the driver knows every type.
        check(List.of(TABLE), column(metadata.getUDTs(null, "public", "%", null), "type_name"));
        check(List.of(String.valueOf(Types.STRUCT)), column(metadata.getUDTs(null, null, TABLE, null), "data_type"));
        check(List.of(), column(metadata.getUDTs(null, "public", "%", new int[] {Types.DISTINCT}), "type_name"));
    }

    static void prepared(Connection connection) throws SQLException {
        String sql = "SELECT trip_id, line, day, delay FROM public." + TABLE
            + " WHERE trip_id < ? AND line = ? AND day = ? ORDER BY trip_id";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            check(Types.BIGINT, statement.getMetaData().getColumnType(1));
            check(Types.DATE, statement.getMetaData().getColumnType(3));
            check(3, statement.getParameterMetaData().getParameterCount());
            for (int round = 0; round < 3; round++) {
                statement.setInt(1, 1000);
                statement.setString(2, "L1");
                statement.setDate(3, Date.valueOf("2025-03-12"));
                try (ResultSet results = statement.executeQuery()) {
                    int count = 0;
                    while (results.next()) {
                        long trip = results.getLong(1);
                        check(1L, trip % 5);
                        check(11L, trip % 28);
                        check("L1", results.getString(2));
                        check(Date.valueOf("2025-03-12"), results.getDate(3));
                        long delay = results.getLong(4);
                        check(trip % 7 == 3, results.wasNull());
                        check(trip % 7 == 3 ? 0L : trip % 120, delay);
                        count++;
                    }
                    check(true, count > 3);
                }
                receipt(connection);
            }
        }
    }

    static void fetchSize(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement statement =
            connection.prepareStatement("SELECT trip_id, note FROM " + TABLE + " WHERE trip_id < ? ORDER BY trip_id")) {
            statement.setFetchSize(20);
            statement.setInt(1, 50);
            try (ResultSet results = statement.executeQuery()) {
                long next = 0;
                while (results.next()) {
                    check(next, results.getLong(1));
                    next++;
                }
                check(50L, next);
            }
            receipt(connection);
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void refused(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT secret FROM " + TABLE);
            throw new AssertionError("a column that is not granted was given");
        } catch (SQLException error) {
            check("42703", error.getSQLState());
            check(true, error.getMessage().contains("column_not_granted: "));
        }
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("DELETE FROM " + TABLE);
            throw new AssertionError("a change was made");
        } catch (SQLException error) {
            check("0A000", error.getSQLState());
        }
    }

    static void receipt(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
            ResultSet results = statement.executeQuery("SHOW lingqu.receipt")) {
            results.next();
            System.out.println(results.getString(1));
        }
    }
}
