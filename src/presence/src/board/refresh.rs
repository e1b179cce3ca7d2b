//! What follows from a change of a user's devices: the state, the counts of the rooms, the next
//! deadline.

use database::UserNumber;

use super::{Board, USER_EVERY, user::NEVER};

impl Board {
    /// Derives everything from a user's devices: state, counts of rooms, the next deadline. Called
    /// after each change.
    pub(super) fn refresh(&mut self, number: UserNumber, now: u64) {
        let idle_after = self.limits.idle_after;
        let Some(user) = self.users.get_mut(&number) else {
            return;
        };
        user.expire(now);
        let (was_listed, was_online) = (user.listed, user.state.is_online());
        user.listed = !user.devices.is_empty();
        user.state = user.state_at(now, idle_after);
        let is_online = user.state.is_online();
        match (was_listed, user.listed) {
            (false, true) => {
                self.listed += 1;
                for room in &user.rooms {
                    self.rooms
                        .enter(*room, number, is_online, &mut self.counter, now);
                }
            }
            (true, false) => {
                self.listed -= 1;
                for room in &user.rooms {
                    self.rooms.leave(*room, number, was_online, now);
                }
            }
            (true, true) if was_online != is_online => {
                for room in &user.rooms {
                    self.rooms.count(*room, is_online, now);
                }
            }
            (true, true) | (false, false) => {}
        }
        match (was_online, is_online) {
            (false, true) => self.online += 1,
            (true, false) => self.online -= 1,
            (true, true) | (false, false) => {}
        }
        let mut deadline = user.next_change(now, idle_after);
        let is_published = user.is_published(now);
        if !is_published {
            let not_before = self.next_publication.max(user.published_at + USER_EVERY);
            deadline = deadline.min(not_before);
        }
        let is_forgotten = is_published && !user.listed && user.changed_at == 0;
        self.schedule(number, if is_forgotten { NEVER } else { deadline });
        if is_forgotten {
            self.users.remove(&number);
        }
    }

    fn schedule(&mut self, number: UserNumber, deadline: u64) {
        let Some(user) = self.users.get_mut(&number) else {
            return;
        };
        if user.deadline != deadline {
            self.deadlines.remove(&(user.deadline, number));
            if deadline != NEVER {
                self.deadlines.insert((deadline, number));
            }
            user.deadline = deadline;
        }
    }
}
