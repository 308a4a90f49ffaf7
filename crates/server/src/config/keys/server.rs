//! The server itself: where it listens, what it is called, where its data are.

use super::{Default, Key, Section, Set};
use crate::config::MasterKeySource;

pub(super) static SECTION: Section = Section {
    heading: "The server",
    keys: &[
        Key {
            name: "listen",
            default: Default::Value("127.0.0.1:8080"),
            takes: "`ADDRESS:PORT`",
            doc: "Where the server listens. Port `0` picks a free one; the first line on standard output says which. `:PORT` and `localhost:PORT` mean `127.0.0.1`.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.listen = value.address()?;
                Ok(())
            }),
        },
        Key {
            name: "public_url",
            default: Default::Derived("`http://` + `listen`; `https://` with `tls.*`"),
            takes: "origin",
            doc: "The address under which browsers reach the server: the issuer of its tokens, and the origin that cookies and links belong to. No path. While it is loopback, `localhost`, `127.0.0.1` and `[::1]` on its port are one origin.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.public_url = Some(value.origin()?);
                Ok(())
            }),
        },
        Key {
            name: "allow_insecure_http",
            default: Default::Value("false"),
            takes: "`true` or `false`",
            doc: "Allows an `http://` origin that is not loopback. Passwords and tokens then cross the network in clear.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.allow_insecure_http = value.bool()?;
                Ok(())
            }),
        },
        Key {
            name: "ops.listen",
            default: Default::None,
            takes: "`ADDRESS:PORT` or `main`",
            doc: "A listener of its own for health, metrics and administration. Without it they are on the main listener only while `public_url` is loopback; `main` puts them there always.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.ops = value.ops()?;
                Ok(())
            }),
        },
        Key {
            name: "data_dir",
            default: Default::Value("./jotgate-data"),
            takes: "path",
            doc: "Where the database and the master key are kept. Made on first start, readable by its owner only.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.data_dir = value.path()?;
                Ok(())
            }),
        },
        Key {
            name: "database_url",
            default: Default::Derived("`sqlite://` + `data_dir` + `/jotgate.db`"),
            takes: "`sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
            doc: "The database. An absolute path has three slashes: `sqlite:///var/lib/jotgate/jotgate.db`. PostgreSQL 14 or later is for several nodes: see [PostgreSQL](postgresql.md) for its parameters, TLS and poolers.",
            secret: true,
            list: false,
            set: Set::Plain(|config, value| {
                config.database_url = value.database_url()?;
                Ok(())
            }),
        },
        Key {
            name: "master_key_file",
            default: Default::Derived("`data_dir` + `/master.key`, made on first start"),
            takes: "path",
            doc: "A file with the master key, under which private keys rest sealed in the database. It is never made when this is set, and has to stay the same. Keep a copy: without it every signing key is lost.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.master_key = MasterKeySource::File(value.path()?);
                Ok(())
            }),
        },
    ],
};
