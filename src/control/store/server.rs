// SPDX-License-Identifier: Apache-2.0
//! The store in a database of a server of PostgreSQL: opened and checked. It is copied with the server's own tools.

use std::fs;
use std::time::Duration;

use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};

use crate::config::plan::{StoreHost, StoreServer, StoreTls};
use crate::control::store::database::postgres::Postgres;
use crate::control::store::database::tls::Tls;
use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;
use crate::control::store::schema;
use crate::net::tls::{ClientMaterial, Roots, Verify, Versions, certificates, client_config};

/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a server may be silent before the kernel looks whether it is there.
const SILENCE: Duration = Duration::from_secs(10);
/// The schema in which all tables stand.
const SCHEMA: &str = "turnpike";
/// Only there are tables looked for.
const USE_SCHEMA: &str = "SET search_path TO turnpike";

/// Opens a session, and makes the tables where they are not there.
pub(super) fn open(server: &StoreServer) -> Result<Database, StoreFault> {
    let mut database = connect(server)?;
    if !has_schema(&mut database)? {
        // Two gateways may do it at the same time. Whoever may not make schemas gets one from somebody who may.
        database.transaction(|database| database.run_script("CREATE SCHEMA IF NOT EXISTS turnpike"))?;
    }
    database.run_script(USE_SCHEMA)?;
    schema::migrate(&mut database, schema::MIGRATIONS)?;
    Ok(database)
}

/// Opens a session that only reads.
pub(crate) fn open_to_read(server: &StoreServer) -> Result<Database, StoreFault> {
    let mut database = connect(server)?;
    database.run_script("SET default_transaction_read_only = on")?;
    if !has_schema(&mut database)? {
        return Err(StoreFault::Foreign);
    }
    database.run_script(USE_SCHEMA)?;
    schema::check(&mut database)?;
    Ok(database)
}

fn has_schema(database: &mut Database) -> Result<bool, StoreFault> {
    let sql = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    Ok(database.first(sql, values![SCHEMA], |_| Ok(()))?.is_some())
}

fn connect(server: &StoreServer) -> Result<Database, StoreFault> {
    let StoreServer { host, port, user, password, database, tls } = server;
    let mut config = Config::new();
    config.user(user).dbname(database).port(*port).application_name("turnpike");
    config.connect_timeout(CONNECT_WAIT).keepalives_idle(SILENCE).tcp_user_timeout(SILENCE);
    match host {
        StoreHost::Name(name) => config.host(name),
        StoreHost::Folder(path) => config.host_path(path),
    };
    if let Some(password) = password {
        config.password(&password.0);
    }
    let session = match tls {
        StoreTls::Off => Postgres::connect(config.ssl_mode(SslMode::Disable), NoTls)?,
        StoreTls::Verified(roots) => {
            let unavailable = |words: String| StoreFault::Unavailable(words);
            let roots = match roots {
                None => Roots::System,
                Some(path) => {
                    let read = fs::read(path).map_err(|error| unavailable(format!("{}: {error}", path.display())))?;
                    let list = certificates(&read);
                    Roots::Custom(list.map_err(|error| unavailable(format!("{}: {error}", path.display())))?)
                }
            };
            let (verify, versions) = (Verify::Full, Versions::Both);
            let material = ClientMaterial { roots, verify, certificate: None, alpn: Vec::new(), versions };
            let tls = client_config(&material).map_err(|error| unavailable(error.to_string()))?;
            Postgres::connect(config.ssl_mode(SslMode::Require), Tls::new(tls))?
        }
    };
    Ok(session.into())
}
