// SPDX-License-Identifier: Apache-2.0
//! Values that go into a database and come out of it.

use rusqlite::types::ValueRef;
use tokio_postgres::types::Type;

use crate::control::store::fault::StoreFault;

/// A value: a parameter of a statement, or what stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// A text. PostgreSQL takes none that has the character 0.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A row of a result.
#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
    /// Of SQLite.
    Sqlite(&'a rusqlite::Row<'a>),
    /// Of PostgreSQL.
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    /// What stands in a column, counted from 0. A fault where it is of another type: the database is not as we made it.
    pub(crate) fn get<T: FromValue<'a>>(&self, column: usize) -> Result<T, StoreFault> {
        let value = match self {
            Row::Sqlite(row) => of_sqlite(row, column)?,
            Row::Postgres(row) => of_postgres(row, column)?,
        };
        T::from_value(value)
            .ok_or_else(|| StoreFault::Damaged(format!("column {column} holds a value of a wrong type")))
    }
}

/// What stands in a column of a row of SQLite.
fn of_sqlite<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<Value<'a>, StoreFault> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(_) => return Err(StoreFault::Damaged(format!("column {column} holds a fraction"))),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text),
            Err(_) => return Err(StoreFault::Damaged(format!("column {column} holds a text that is no UTF-8"))),
        },
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    })
}

/// What stands in a column of a row of PostgreSQL.
fn of_postgres(row: &tokio_postgres::Row, column: usize) -> Result<Value<'_>, StoreFault> {
    let Some(kind) = row.columns().get(column).map(tokio_postgres::Column::type_) else {
        return Err(StoreFault::Damaged(format!("there is no column {column}")));
    };
    Ok(match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map_or(Value::Null, Value::Integer),
        Type::INT4 => {
            row.try_get::<_, Option<i32>>(column)?.map_or(Value::Null, |number| Value::Integer(number.into()))
        }
        Type::TEXT | Type::VARCHAR | Type::NAME => {
            row.try_get::<_, Option<&str>>(column)?.map_or(Value::Null, Value::Text)
        }
        Type::BYTEA => row.try_get::<_, Option<&[u8]>>(column)?.map_or(Value::Null, Value::Blob),
        _ => return Err(StoreFault::Damaged(format!("column {column} has the type {kind}"))),
    })
}

/// What a value can be read as.
pub(crate) trait FromValue<'a>: Sized {
    /// `None` where it is of another type.
    fn from_value(value: Value<'a>) -> Option<Self>;
}

impl FromValue<'_> for i64 {
    fn from_value(value: Value<'_>) -> Option<i64> {
        match value {
            Value::Integer(number) => Some(number),
            Value::Null | Value::Text(_) | Value::Blob(_) => None,
        }
    }
}

impl FromValue<'_> for u64 {
    fn from_value(value: Value<'_>) -> Option<u64> {
        i64::from_value(value).and_then(|number| number.try_into().ok())
    }
}

impl FromValue<'_> for u32 {
    fn from_value(value: Value<'_>) -> Option<u32> {
        i64::from_value(value).and_then(|number| number.try_into().ok())
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: Value<'a>) -> Option<&'a str> {
        match value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::Blob(_) => None,
        }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: Value<'_>) -> Option<String> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: Value<'a>) -> Option<&'a [u8]> {
        match value {
            Value::Blob(bytes) => Some(bytes),
            Value::Null | Value::Integer(_) | Value::Text(_) => None,
        }
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: Value<'_>) -> Option<Vec<u8>> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}

impl<const N: usize> FromValue<'_> for [u8; N] {
    fn from_value(value: Value<'_>) -> Option<[u8; N]> {
        <&[u8]>::from_value(value)?.try_into().ok()
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Value<'a>) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            Value::Integer(_) | Value::Text(_) | Value::Blob(_) => T::from_value(value).map(Some),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::Integer(number.into())
    }
}

/// Above the greatest number that fits it is that one: a time for ever ahead, a count that never was.
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Value::Blob(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Value::Blob(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Value::Blob(bytes)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, T::into)
    }
}
