//! What the server says of itself: `GetSqlInfo` and `GetXdbcTypeInfo`.

use std::sync::LazyLock;

use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction, XdbcDataType,
};
use lingqu_engine::allow::{STATEMENT_BYTES_MAX, TABLES_MAX};

/// What every order is told.
pub(super) static SQL_INFO: LazyLock<SqlInfoData> = LazyLock::new(sql_info);
/// The types that columns have.
pub(super) static TYPES: LazyLock<XdbcTypeInfoData> = LazyLock::new(types);

fn sql_info() -> SqlInfoData {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "Lingqu");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    let lowercase = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i64;
    info.append(SqlInfo::SqlIdentifierCase, lowercase);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    let as_written = SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i64;
    info.append(SqlInfo::SqlQuotedIdentifierCase, as_written);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i64);
    for list in [
        SqlInfo::SqlKeywords,
        SqlInfo::SqlNumericFunctions,
        SqlInfo::SqlStringFunctions,
        SqlInfo::SqlSystemFunctions,
        SqlInfo::SqlDatetimeFunctions,
    ] {
        info.append(list, &[] as &[&str]);
    }
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    info.append(SqlInfo::SqlMaxStatementLength, i64::try_from(STATEMENT_BYTES_MAX).unwrap_or(i64::MAX));
    info.append(SqlInfo::SqlMaxTablesInSelect, i64::try_from(TABLES_MAX).unwrap_or(i64::MAX));
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    info.append(SqlInfo::SqlBatchUpdatesSupported, false);
    info.append(SqlInfo::SqlSavepointsSupported, false);
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
    info.build().expect("the values are of the types that the format has")
}

fn types() -> XdbcTypeInfoData {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    let quoted = || Some("'".to_owned());
    // Name, type, digits or characters, whether it is written in quotes, radix.
    for (name, data_type, size, is_quoted, radix) in [
        ("BIGINT", XdbcDataType::XdbcBigint, Some(19), false, Some(10)),
        ("BOOLEAN", XdbcDataType::XdbcBit, Some(1), false, None),
        ("DATE", XdbcDataType::XdbcDate, Some(10), true, None),
        ("DECIMAL", XdbcDataType::XdbcDecimal, Some(38), false, Some(10)),
        ("DOUBLE PRECISION", XdbcDataType::XdbcDouble, Some(53), false, Some(2)),
        ("TIMESTAMP", XdbcDataType::XdbcTimestamp, Some(26), true, None),
        ("VARCHAR", XdbcDataType::XdbcVarchar, None, true, None),
    ] {
        builder.append(XdbcTypeInfo {
            type_name: name.to_owned(),
            data_type,
            column_size: size,
            literal_prefix: if is_quoted { quoted() } else { None },
            literal_suffix: if is_quoted { quoted() } else { None },
            create_params: None,
            nullable: Nullable::NullabilityNullable,
            case_sensitive: data_type == XdbcDataType::XdbcVarchar,
            searchable: Searchable::Full,
            unsigned_attribute: radix.map(|_| false),
            fixed_prec_scale: false,
            auto_increment: Some(false),
            local_type_name: Some(name.to_owned()),
            minimum_scale: None,
            maximum_scale: None,
            sql_data_type: data_type,
            datetime_subcode: None,
            num_prec_radix: radix,
            interval_precision: None,
        });
    }
    builder.build().expect("the values are of the types that the format has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_can_be_written() {
        let all = SQL_INFO.record_batch([]).unwrap();
        assert!(all.num_rows() > 40);
        let one = SQL_INFO.record_batch([SqlInfo::FlightSqlServerTransaction as u32]).unwrap();
        assert_eq!(one.num_rows(), 1);
        assert_eq!(TYPES.record_batch(None).unwrap().num_rows(), 7);
        assert_eq!(TYPES.record_batch(XdbcDataType::XdbcDate as i32).unwrap().num_rows(), 1);
    }
}
