//! Holds the stock writer up between its decision and its commit, when everything that it has locked is locked and nothing of what it
//! writes can be seen. Five seconds at most, as long as its statements may take.

use super::TestApp;

pub struct HeldUp<'a> {
    app: &'a TestApp,
}

impl<'a> HeldUp<'a> {
    /// From now on new orders wait in the middle of being written.
    pub async fn orders(app: &'a TestApp) -> HeldUp<'a> {
        app.db
            .execute(
                "create table if not exists let_go (at timestamptz);
                 create or replace function held_up() returns trigger language plpgsql volatile as $$
                 begin
                     while not exists (select from let_go) loop perform pg_sleep(0.01); end loop;
                     return new;
                 end $$;
                 create trigger held_up before insert on orders for each row execute function held_up();",
            )
            .await;
        HeldUp { app }
    }

    /// Until an order is in the middle of being written.
    pub async fn in_the_middle(&self) {
        let sleeps = "select count(*) from pg_stat_activity
                       where datname = current_database() and application_name = 'admit stock writer' and wait_event = 'PgSleep'";
        self.app.until("an order is being written", async || self.app.db.one::<i64>(sleeps).await > 0).await;
    }

    /// Until somebody waits for what the writer has locked.
    pub async fn waited_for(&self) {
        let waits = "select count(*) from pg_stat_activity
                      where datname = current_database() and application_name = 'admit' and wait_event_type = 'Lock'";
        self.app.until("somebody waits for the writer", async || self.app.db.one::<i64>(waits).await > 0).await;
    }

    pub async fn go_on(&self) {
        self.app.db.execute("insert into let_go values (now())").await;
    }
}
