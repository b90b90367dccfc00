//! The recovery phrase: the root secret as 24 words (BIP-39, English list). It says what is wrong with a phrase in
//! words that help to find the slip on paper; it derives nothing.

use super::keys::RootSecret;
use bip39::{Language, Mnemonic};
use core::fmt;
use zeroize::Zeroizing;

/// What is wrong with a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhraseError {
    /// A word is not in the list.
    UnknownWord {
        /// Its place, from 1.
        position: usize,
        /// The word as it was given, shortened if it is very long.
        word: String,
        /// The words of the list that are most like it, best first; may be empty.
        nearest: Vec<&'static str>,
    },
    /// There are not 24 words.
    Count(usize),
    /// Every word is in the list, but together they are no phrase: at least one is another word, or out of place.
    Checksum,
}

/// The 24 words of a root secret, separated by single spaces.
#[must_use]
pub fn to_words(root: &RootSecret) -> Zeroizing<String> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, root.as_bytes())
        .expect("256 bits are a length that BIP-39 has");
    let mut words = Zeroizing::new(String::with_capacity(PHRASE_BYTES_MAX));
    for word in mnemonic.words() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    words
}

/// The root secret that a phrase spells. Case, line breaks and numbers before the words do not matter.
///
/// # Errors
/// [`PhraseError`]
pub fn from_words(text: &str) -> Result<RootSecret, PhraseError> {
    let given = text.split_whitespace().map(|word| word.trim_matches(|letter: char| !letter.is_alphabetic()));
    let mut words = Zeroizing::new(String::with_capacity(PHRASE_BYTES_MAX));
    let mut count = 0;
    for word in given.filter(|word| !word.is_empty()) {
        count += 1;
        let lower = Zeroizing::new(word.to_lowercase());
        if Language::English.find_word(&lower).is_none() {
            let word = word.chars().take(WORD_LETTERS_SHOWN_MAX).collect();
            return Err(PhraseError::UnknownWord { position: count, word, nearest: nearest(&lower) });
        }
        if count <= WORDS {
            if count > 1 {
                words.push(' ');
            }
            words.push_str(&lower);
        }
    }
    if count != WORDS {
        return Err(PhraseError::Count(count));
    }
    let mnemonic =
        Mnemonic::parse_in_normalized(Language::English, &words).map_err(|_| PhraseError::Checksum)?;
    let entropy = Zeroizing::new(mnemonic.to_entropy());
    let bytes = <[u8; 32]>::try_from(entropy.as_slice()).map_err(|_| PhraseError::Count(count))?;
    Ok(RootSecret::from_bytes(bytes))
}

/// The words of the list most like `word`: fewest slips first (a letter more, less, other, or two swapped), at equal
/// slips the longest common beginning.
fn nearest(word: &str) -> Vec<&'static str> {
    let letters: Vec<char> = word.chars().take(WORD_LETTERS_SHOWN_MAX).collect();
    let mut rated: Vec<(usize, core::cmp::Reverse<usize>, &'static str)> = Language::English
        .word_list()
        .iter()
        .map(|candidate| {
            let other: Vec<char> = candidate.chars().collect();
            let common = letters.iter().zip(&other).take_while(|(one, two)| one == two).count();
            (slips(&letters, &other), core::cmp::Reverse(common), *candidate)
        })
        .filter(|(slips, common, _)| *slips <= SLIPS_MAX || common.0 >= TELLING_LETTERS)
        .collect();
    rated.sort_unstable();
    rated.into_iter().take(NEAREST_MAX).map(|(_, _, candidate)| candidate).collect()
}

/// How many slips of the pen lead from one word to the other (optimal string alignment distance).
fn slips(one: &[char], two: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=two.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in two.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut least = replaced.min(above[column + 1] + 1).min(line[column] + 1);
            let swapped = row > 0 && column > 0 && *letter == two[column - 1] && one[row - 1] == *other;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = above;
        above = line;
    }
    above[two.len()]
}

/// Words of a phrase: 256 bits and 8 of checksum, 11 each.
const WORDS: usize = 24;

/// Longest phrase, in bytes: words have at most 8 letters. Reserved at once, so that no copy is left behind.
const PHRASE_BYTES_MAX: usize = WORDS * 9;

/// Letters of an unknown word that are looked at and shown.
const WORD_LETTERS_SHOWN_MAX: usize = 24;

/// Words with more slips than this are not like each other.
const SLIPS_MAX: usize = 2;

/// In the list, this many letters tell a word from all others.
const TELLING_LETTERS: usize = 4;

/// Words that are proposed.
const NEAREST_MAX: usize = 3;

impl fmt::Display for PhraseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownWord { position, word, nearest } if nearest.is_empty() => {
                write!(formatter, "word {position}, {word:?}, is not in the word list: check it on the paper")
            }
            Self::UnknownWord { position, word, nearest } => {
                write!(formatter, "word {position}, {word:?}, is not in the word list: did you mean {}?", nearest.join(", "))
            }
            Self::Count(count) => {
                write!(formatter, "a recovery phrase has {WORDS} words, and these are {count}: check for missing or doubled ones")
            }
            Self::Checksum => formatter.write_str(
                "all words are in the list, but the checksum fails: one is not the word on the paper, or two are swapped",
            ),
        }
    }
}

impl std::error::Error for PhraseError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last test vector of BIP-39's reference list for 256 bits.
    const ENTROPY: &str = "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f";
    const PHRASE: &str =
        "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen \
                          patrol group space point ten exist slush involve unfold";

    fn root() -> RootSecret {
        let mut bytes = [0; 32];
        crate::base::ids::unhex(ENTROPY, &mut bytes).unwrap();
        RootSecret::from_bytes(bytes)
    }

    #[test]
    fn a_phrase_is_the_reference_vector_and_back() {
        assert_eq!(to_words(&root()).as_str(), PHRASE);
        assert_eq!(from_words(PHRASE), Ok(root()));
    }

    #[test]
    fn case_numbers_and_line_breaks_do_not_matter() {
        let numbered: String = PHRASE
            .split(' ')
            .enumerate()
            .map(|(at, word)| format!("{}. {}\n", at + 1, word.to_uppercase()))
            .collect();
        assert_eq!(from_words(&numbered), Ok(root()));
    }

    #[test]
    fn an_unknown_word_is_named_with_its_place_and_the_nearest() {
        let error = from_words(&PHRASE.replace("survey", "surevy")).unwrap_err();
        let expected =
            PhraseError::UnknownWord { position: 6, word: "surevy".into(), nearest: vec!["survey", "sure"] };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "word 6, \"surevy\", is not in the word list: did you mean survey, sure?"
        );
        match from_words("void come efort").unwrap_err() {
            PhraseError::UnknownWord { position: 3, nearest, .. } => assert_eq!(nearest[0], "effort"),
            other => panic!("{other}"),
        }
        let error = from_words("void comexxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").unwrap_err();
        assert!(
            matches!(error, PhraseError::UnknownWord { position: 2, ref word, .. } if word.len() == 24),
            "{error}"
        );
        let error = from_words("v\u{e9}r\u{fc}ckt").unwrap_err();
        assert!(error.to_string().contains("word 1"), "{error}");
    }

    #[test]
    fn a_missing_or_doubled_word_is_a_wrong_count() {
        assert_eq!(from_words(&PHRASE.replace("void ", "")), Err(PhraseError::Count(23)));
        assert_eq!(from_words(&format!("{PHRASE} void")), Err(PhraseError::Count(25)));
        assert_eq!(from_words(""), Err(PhraseError::Count(0)));
        // Twelve words are a valid phrase elsewhere, but not here.
        let twelve = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        assert_eq!(from_words(twelve), Err(PhraseError::Count(12)));
    }

    #[test]
    fn swapped_words_fail_the_checksum() {
        let swapped = PHRASE.replace("void come", "come void");
        assert_eq!(from_words(&swapped), Err(PhraseError::Checksum));
    }

    #[test]
    fn slips_are_counted_as_a_person_would() {
        let count =
            |one: &str, two: &str| slips(&one.chars().collect::<Vec<_>>(), &two.chars().collect::<Vec<_>>());
        assert_eq!(count("survey", "survey"), 0);
        assert_eq!(count("surevy", "survey"), 1);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("kitten", "sitting"), 3);
    }
}
