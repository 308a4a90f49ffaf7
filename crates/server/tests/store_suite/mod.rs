//! What every backend has to do, a function a behaviour, over `&dyn Store`. Each gets an empty database.
//!
//! A backend runs them all with [`store_suite!`].

mod clients;
pub(crate) mod fixture;
mod identities;
mod keys;
mod races;
mod refresh;
mod revocation;
mod sessions;
mod sweep;
mod throttle;
mod tickets;
mod users;
mod webhooks;

pub(crate) use self::{
    clients::*, identities::*, keys::*, races::*, refresh::*, revocation::*, sessions::*, sweep::*,
    throttle::*, tickets::*, users::*, webhooks::*,
};

/// Makes a test of each behaviour; `$store` makes an empty store, and what has to live as long as it.
#[macro_export]
macro_rules! store_suite {
    ($store:path) => {
        $crate::store_suite!(@each $store:
            a_user_is_found_by_id_name_and_email
            an_unproven_address_is_nobodys
            a_user_reads_back_as_it_was_written
            names_and_addresses_are_unique
            a_user_without_address_is_no_obstacle
            an_update_needs_the_version_it_was_decided_on
            a_failed_list_of_changes_leaves_nothing
            a_deleted_user_takes_their_sessions_along
            users_come_in_order_of_name
            an_identity_is_found_with_its_user
            an_identity_has_one_user
            of_racing_first_sign_ins_one_wins
            what_is_spent_is_spent_once
            settings_and_keys_are_replaced
            a_revoked_key_is_in_the_log
            the_audit_trail_reads_in_order
            a_client_reads_back_as_it_was_written
            client_ids_are_unique
            clients_come_in_order_of_id
            a_deleted_client_takes_its_sessions_along
            a_session_needs_a_user
            a_session_is_read_with_its_user_while_it_lives
            sessions_come_newest_use_first
            the_oldest_sessions_are_displaced
            status_numbers_are_never_reused
            ending_sessions_revokes_their_entries
            ending_what_is_not_there_is_nothing
            revoked_tokens_leave_the_session
            all_tokens_of_a_user_are_revoked
            a_renewed_session_has_new_tokens_only
            the_log_is_read_from_a_position
            an_unknown_position_reads_everything
            row_1_a_fresh_token_rotates
            row_2_inside_the_grace_it_repeats
            row_3_the_spent_one_converges_inside_the_grace
            row_4_a_lost_answer_gets_a_sibling
            row_4_any_sibling_may_be_used_once
            row_5_a_database_that_went_back_catches_up
            row_6_a_spent_token_ends_the_session
            a_refresh_is_refused_without_a_trace
            a_refresh_moves_the_ends
            a_refresh_takes_a_fresh_entry_after_a_revocation
            a_repeat_takes_a_fresh_entry_too
            a_repeat_from_elsewhere_is_told_once
            a_ticket_is_taken_once
            of_racing_redemptions_one_wins
            extended_tokens_are_remembered_as_long_as_they_live
            the_sweeper_takes_expired_tickets
            tries_are_counted_and_delayed
            a_cleared_bucket_is_as_new
            an_unknown_name_is_counted_like_any_other
            the_sweeper_takes_what_has_ended
            the_sweeper_puts_off_what_was_used
            the_audit_trail_is_bounded
            messages_come_when_they_are_due
            dead_letters_are_bounded
            fifty_refreshes_of_one_token_make_one_successor
            twenty_attempts_count_twenty
            of_racing_updates_one_wins
            of_racing_registrations_one_wins
            racing_logins_keep_within_the_limit
            a_change_wakes_whoever_waits
        );
    };
    (@each $store:path: $($behaviour:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $behaviour() {
            let (store, _kept) = $store().await;
            $crate::store_suite::$behaviour(&*store).await;
        }
    )*};
}
