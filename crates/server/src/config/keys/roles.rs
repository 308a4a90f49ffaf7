//! Roles and what they may do.

use jotgate_domain::name::RoleName;

use super::{Default, Key, Section, Set, is_permission};

pub(super) static SECTION: Section = Section {
    heading: "Roles",
    keys: &[Key {
        name: "roles.NAME.permissions",
        default: Default::None,
        takes: "list of strings",
        doc: "What a role may do. The union over a user's roles is the `permissions` claim. In the environment, the `NAME` in capitals with `_` for every `.`, `:` and `-`; as a flag, `--set roles.NAME.permissions=a,b`.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            if RoleName::parse(name).is_err() {
                return Err("a role named with 1 to 64 of A-Z a-z 0-9 _ . : -".to_owned());
            }
            let permissions = value.list()?;
            if permissions.iter().any(|permission| !is_permission(permission)) {
                return Err("permissions of 1 to 128 printable ASCII characters without spaces".to_owned());
            }
            config.policy.permissions.insert(name.to_owned(), permissions);
            Ok(())
        }),
    }],
};
