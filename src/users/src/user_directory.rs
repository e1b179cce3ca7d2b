//! Finding accounts by name: client-server API, "User Directory". `rooms` decides
//! which users can find each other.
//!
//! An account is indexed by every word of its display name and of its localpart, and by its full
//! user id. The commits that change names also change the index, so it is always current;
//! [`REBUILD`] recreates it from accounts and profiles.

use std::collections::{BTreeSet, HashSet};

use database::{
    Read, StoreError, Txn, UserNumber,
    migrate::{Migration, Progress, StepFuture},
};
use ruma::{OwnedUserId, UserId};

use crate::{
    accounts::AccountStatus,
    tables::{ACCOUNTS, PROFILES, USER_IDS, USER_WORDS},
    users::Users,
};

/// Words are truncated to this length, in the index and in searches.
const WORD_CHARACTERS: usize = 64;
/// Words of a search; further ones are ignored.
const SEARCHED_WORDS: usize = 10;
/// Rows of the index that are read at once.
const PAGE: usize = 256;
/// Accounts that are indexed in one commit of [`REBUILD`].
const CHUNK: usize = 256;

/// Indexes all accounts: for databases that are older than the index, or to recreate it.
pub const REBUILD: Migration = Migration {
    name: "list users by their words",
    step: rebuild,
};

/// A search result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUser {
    pub number: UserNumber,
    pub user_id: OwnedUserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    /// Whether the search is a complete name of the account, not only a prefix of words.
    pub is_exact: bool,
}

/// A cursor over the accounts that have, for each word of the search, a word with that prefix.
#[derive(Debug)]
pub struct NameSearch {
    words: Vec<String>,
    /// The longest word, by which the index is searched.
    driving: String,
    whole: String,
    last: Option<(String, UserNumber)>,
    seen: HashSet<UserNumber>,
    has_ended: bool,
}

impl NameSearch {
    /// `None` if the search has no words.
    pub fn new(term: &str) -> Option<Self> {
        let words: Vec<String> = searched_words(term)
            .into_iter()
            .take(SEARCHED_WORDS)
            .collect();
        let driving = words
            .iter()
            .max_by_key(|word| word.chars().count())?
            .clone();
        Some(Self {
            words,
            driving,
            whole: term.trim().to_lowercase(),
            last: None,
            seen: HashSet::new(),
            has_ended: false,
        })
    }

    /// The next accounts in the order of the index, each once. Can be empty before the end; `None`
    /// at the end.
    pub async fn next(
        &mut self,
        users: &Users,
        db: &impl Read,
    ) -> Result<Option<Vec<FoundUser>>, StoreError> {
        if self.has_ended {
            return Ok(None);
        }
        let rows = match &self.last {
            None => USER_WORDS.all().from((&self.driving, UserNumber(0))),
            Some((word, user)) => USER_WORDS.all().after((word, *user)),
        };
        let page = db.page(rows, PAGE).await?;
        self.has_ended = page.len() < PAGE;
        self.last = page.last().map(|(key, ())| key.clone());
        let mut candidates = Vec::new();
        for ((word, user), ()) in page {
            if !word.starts_with(&self.driving) {
                self.has_ended = true;
                break;
            }
            if self.seen.insert(user) {
                candidates.push(user);
            }
        }
        self.matching(users, db, &candidates).await.map(Some)
    }

    /// Whether all accounts were returned.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    async fn matching(
        &self,
        users: &Users,
        db: &impl Read,
        candidates: &[UserNumber],
    ) -> Result<Vec<FoundUser>, StoreError> {
        let ids = users.texts(db, candidates).await?;
        let rows = candidates.iter().map(|user| PROFILES.at(*user)).collect();
        let profiles = db.get_many(rows).await?;
        let mut found = Vec::new();
        for ((number, id), profile) in candidates.iter().zip(ids).zip(profiles) {
            let user_id = id.and_then(|id| OwnedUserId::try_from(&*id).ok());
            let user_id = user_id.ok_or(StoreError::Corrupt("user_words names no user"))?;
            let profile = profile.unwrap_or_default();
            let words = words_of(&user_id, profile.displayname.as_deref());
            let fits = |searched: &String| words.iter().any(|word| word.starts_with(searched));
            if !self.words.iter().all(fits) {
                continue;
            }
            found.push(FoundUser {
                number: *number,
                is_exact: self.is_whole_name(&user_id, profile.displayname.as_deref()),
                user_id,
                display_name: profile.displayname,
                avatar_url: profile.avatar_url,
            });
        }
        Ok(found)
    }

    fn is_whole_name(&self, user_id: &UserId, display_name: Option<&str>) -> bool {
        let names = [
            Some(user_id.as_str()),
            Some(user_id.localpart()),
            display_name,
        ];
        names
            .into_iter()
            .flatten()
            .any(|name| name.to_lowercase() == self.whole)
    }
}

/// Adds an account to the index.
pub(crate) fn list(txn: &Txn, user: UserNumber, user_id: &UserId, display_name: Option<&str>) {
    for word in words_of(user_id, display_name) {
        txn.put(USER_WORDS.at((&word, user)), &());
    }
}

/// Removes an account with these names from the index.
pub(crate) fn unlist(txn: &Txn, user: UserNumber, user_id: &UserId, display_name: Option<&str>) {
    for word in words_of(user_id, display_name) {
        txn.delete(USER_WORDS.at((&word, user)));
    }
}

fn rebuild<'a>(txn: &'a Txn, place: &'a [u8]) -> StepFuture<'a> {
    Box::pin(async move {
        let last = place.try_into().ok().map(u64::from_be_bytes);
        let rows = match last {
            None => {
                txn.clear(USER_WORDS.all());
                ACCOUNTS.all()
            }
            Some(last) => ACCOUNTS.all().after(UserNumber(last)),
        };
        let page = txn.page(rows, CHUNK).await?;
        for (user, account) in &page {
            if account.status != AccountStatus::Active {
                continue;
            }
            let text = txn.get(USER_IDS.at(*user)).await?;
            let user_id = text.and_then(|text| OwnedUserId::try_from(text).ok());
            let user_id = user_id.ok_or(StoreError::Corrupt("accounts names no user"))?;
            let profile = txn.get(PROFILES.at(*user)).await?.unwrap_or_default();
            list(txn, *user, &user_id, profile.displayname.as_deref());
        }
        Ok(match page.last() {
            Some((user, _)) if page.len() == CHUNK => Progress::At(user.0.to_be_bytes().to_vec()),
            _ => Progress::Done,
        })
    })
}

/// The words by which an account is indexed.
fn words_of(user_id: &UserId, display_name: Option<&str>) -> BTreeSet<String> {
    let mut words = split(user_id.localpart());
    words.extend(display_name.map(split).unwrap_or_default());
    words.insert(user_id.as_str().to_lowercase());
    words
}

/// A search: a prefix of a user id, with or without its `@`, or words.
fn searched_words(term: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for part in term.split_whitespace() {
        if part.starts_with('@') && part.len() > 1 {
            words.insert(part.to_lowercase());
        } else if part.contains(':') {
            words.insert(format!("@{}", part.to_lowercase()));
        } else {
            words.extend(split(part));
        }
    }
    words
}

/// The words of a text: runs of letters and digits, and runs of only other characters (emoji).
fn split(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for part in text.split_whitespace() {
        let part = part.to_lowercase();
        let runs = part.split(|c: char| !c.is_alphanumeric());
        let runs: Vec<&str> = runs.filter(|run| !run.is_empty()).collect();
        if runs.is_empty() {
            words.insert(cut(&part));
        }
        words.extend(runs.into_iter().map(cut));
    }
    words
}

fn cut(word: &str) -> String {
    word.chars().take(WORD_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn an_account_is_listed_under_each_word_in_lower_case() {
        let words = words_of(user_id!("@al-ice.1:example.org"), Some("Älice  O'Neil 🦀"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let expected = [
            "1",
            "@al-ice.1:example.org",
            "al",
            "ice",
            "neil",
            "o",
            "älice",
            "🦀",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn user_ids_are_looked_for_as_a_whole() {
        let searched = |term| searched_words(term).into_iter().collect::<Vec<_>>();
        assert_eq!(searched("@Al-ice"), ["@al-ice"]);
        assert_eq!(searched("al-ice:exam"), ["@al-ice:exam"]);
        assert_eq!(searched("Al-ice Coo"), ["al", "coo", "ice"]);
        assert_eq!(searched("@"), ["@"]);
        assert!(NameSearch::new("  ").is_none());
    }
}
