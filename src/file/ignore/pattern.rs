//! One glob of gitignore(5), matched against bytes in time that is bounded by the product of the lengths.
//!
//! A pattern is a list of components, a component a list of tokens. Both lists are matched by the same loop, which
//! remembers only the last star: what a star took before need never be tried again, so there is no pattern that
//! a hostile ignore file could make slow (R. Cox, "Glob Matching Can Be Simple And Fast Too", 2017).

/// A glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Its components. A single one, if not `anchored`.
    components: Vec<Component>,
    /// It contains a slash: it is matched against the whole path, and not against the last component alone.
    anchored: bool,
}

/// What one component of a path has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Component {
    /// These bytes.
    Literal(Vec<u8>),
    /// Anything, and these bytes at the end.
    Suffix(Vec<u8>),
    /// What the tokens match.
    Tokens(Vec<Token>),
    /// `**`: any number of components; at the end of a pattern at least one.
    Any,
}

/// What one byte has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// This one.
    Byte(u8),
    /// Any.
    One,
    /// Any number of any.
    Star,
    /// The same, written with more than one star.
    Stars,
    /// The end of a component, escaped or not, unless it stands in a bracket.
    Slash,
    /// One of a class: a bit for each byte value.
    Class(Box<[u64; 4]>),
}

impl Pattern {
    /// Reads a glob without a leading `!` and without the `/` at its end; None if it can match nothing.
    #[must_use]
    pub fn parse(glob: &[u8]) -> Option<Self> {
        let anchored = glob.contains(&b'/');
        let glob = glob.strip_prefix(b"/").unwrap_or(glob);
        let tokens = tokens(glob)?;
        let components = tokens.split(|token| *token == Token::Slash).map(Component::new).collect();
        Some(Self { components, anchored })
    }

    /// Does it match this path, relative to where the pattern holds?
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        if !self.anchored {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
            return self.components.first().is_some_and(|component| component.matches(name));
        }
        self.matches_path(path)
    }

    /// Matches all components against all of the path.
    fn matches_path(&self, path: &[u8]) -> bool {
        let mut rest = Some(path);
        let mut index = 0;
        // Behind the last `**`: its index, and the path from which it takes one component more when all else fails.
        let mut retry: Option<(usize, &[u8])> = None;
        loop {
            match (self.components.get(index), rest) {
                (None, None) => return true,
                (Some(Component::Any), Some(path)) if index + 1 == self.components.len() => {
                    return !path.is_empty()
                }
                (Some(Component::Any), Some(path)) => {
                    index += 1;
                    retry = Some((index, path));
                    continue;
                }
                (Some(component), Some(path)) => {
                    let (name, behind) = first_component(path);
                    if component.matches(name) {
                        index += 1;
                        rest = behind;
                        continue;
                    }
                }
                // The path is shorter than the pattern; taking more of it into a `**` makes it shorter still.
                (Some(_), None) => return false,
                (None, Some(_)) => {}
            }
            let Some((behind_star, path)) = retry else { return false };
            let (_, Some(shorter)) = first_component(path) else { return false };
            retry = Some((behind_star, shorter));
            index = behind_star;
            rest = Some(shorter);
        }
    }
}

impl Component {
    /// The component that these tokens make.
    pub fn new(tokens: &[Token]) -> Self {
        let bytes = |tokens: &[Token]| -> Option<Vec<u8>> {
            tokens
                .iter()
                .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
                .collect()
        };
        match tokens {
            [Token::Stars] => Self::Any,
            [Token::Star | Token::Stars, rest @ ..] => {
                bytes(rest).map_or_else(|| Self::Tokens(tokens.to_vec()), Self::Suffix)
            }
            _ => bytes(tokens).map_or_else(|| Self::Tokens(tokens.to_vec()), Self::Literal),
        }
    }

    /// Does it match this one component?
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => name == literal,
            Self::Suffix(suffix) => name.ends_with(suffix),
            Self::Tokens(tokens) => tokens_match(tokens, name),
            Self::Any => true,
        }
    }
}

/// Do the tokens match all of `name`?
pub(super) fn tokens_match(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    // Behind the last star: its token, and where it takes one byte more when all else fails.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), name.get(at)) {
            (None, None) => return true,
            (Some(Token::Star | Token::Stars), _) => {
                token += 1;
                retry = Some((token, at));
                continue;
            }
            (Some(one), Some(byte)) if one.matches(*byte) => {
                token += 1;
                at += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((behind_star, from)) if from < name.len() => {
                retry = Some((behind_star, from + 1));
                token = behind_star;
                at = from + 1;
            }
            _ => return false,
        }
    }
}

impl Token {
    /// Does it match this byte?
    pub fn matches(&self, byte: u8) -> bool {
        match self {
            Self::Byte(one) => *one == byte,
            Self::One => true,
            Self::Star | Self::Stars | Self::Slash => false,
            Self::Class(bits) => bits[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1,
        }
    }
}

/// The first component of a path, and what follows its slash.
fn first_component(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'/') {
        Some(end) => (&path[..end], Some(&path[end + 1..])),
        None => (path, None),
    }
}

/// Reads the tokens of a glob; None if a bracket is open or a backslash ends it.
pub(super) fn tokens(glob: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = glob;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'*' => match tokens.last_mut() {
                Some(last @ (Token::Star | Token::Stars)) => *last = Token::Stars,
                _ => tokens.push(Token::Star),
            },
            b'/' => tokens.push(Token::Slash),
            b'?' => tokens.push(Token::One),
            b'[' => {
                let (bits, behind) = class(rest)?;
                tokens.push(Token::Class(bits));
                rest = behind;
            }
            b'\\' => {
                let (escaped, behind) = rest.split_first()?;
                tokens.push(if *escaped == b'/' { Token::Slash } else { Token::Byte(*escaped) });
                rest = behind;
            }
            byte => tokens.push(Token::Byte(*byte)),
        }
    }
    Some(tokens)
}

/// Reads a class behind its opening bracket, and gives what follows the closing one.
fn class(glob: &[u8]) -> Option<(Box<[u64; 4]>, &[u8])> {
    let (negated, mut rest) = match glob.split_first()? {
        (b'!' | b'^', behind) => (true, behind),
        _ => (false, glob),
    };
    let mut bits = Box::new([0_u64; 4]);
    let mut insert = |byte: u8| bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
    let mut first = true;
    loop {
        if rest.first() == Some(&b']') && !first {
            rest = &rest[1..];
            break;
        }
        first = false;
        if let Some((test, behind)) = named_class(rest) {
            (0..=u8::MAX).filter(test?).for_each(&mut insert);
            rest = behind;
            continue;
        }
        let (from, behind) = class_byte(rest)?;
        rest = behind;
        insert(from);
        if let [b'-', end, ..] = rest {
            if *end != b']' {
                let (to, behind) = class_byte(&rest[1..])?;
                (from..=to).for_each(&mut insert);
                rest = behind;
            }
        }
    }
    if negated {
        bits.iter_mut().for_each(|word| *word = !*word);
    }
    Some((bits, rest))
}

/// Reads a byte inside a bracket.
fn class_byte(glob: &[u8]) -> Option<(u8, &[u8])> {
    match glob.split_first()? {
        (b'\\', behind) => behind.split_first().map(|(byte, behind)| (*byte, behind)),
        (byte, behind) => Some((*byte, behind)),
    }
}

/// Says which bytes a named class contains.
type ClassTest = fn(&u8) -> bool;

/// Reads a named class like `[:digit:]`; the test is None if there is no such name.
fn named_class(glob: &[u8]) -> Option<(Option<ClassTest>, &[u8])> {
    let rest = glob.strip_prefix(b"[:")?;
    let end = rest.iter().position(|byte| *byte == b']')?;
    let test: Option<ClassTest> = match rest[..end].strip_suffix(b":")? {
        b"alnum" => Some(u8::is_ascii_alphanumeric),
        b"alpha" => Some(u8::is_ascii_alphabetic),
        b"blank" => Some(|byte| matches!(byte, b' ' | b'\t')),
        b"cntrl" => Some(u8::is_ascii_control),
        b"digit" => Some(u8::is_ascii_digit),
        b"graph" => Some(u8::is_ascii_graphic),
        b"lower" => Some(u8::is_ascii_lowercase),
        b"print" => Some(|byte| matches!(byte, b' '..=b'~')),
        b"punct" => Some(u8::is_ascii_punctuation),
        b"space" => Some(|byte| matches!(byte, b' ' | b'\t'..=b'\r')),
        b"upper" => Some(u8::is_ascii_uppercase),
        b"xdigit" => Some(u8::is_ascii_hexdigit),
        _ => None,
    };
    Some((test, &rest[end + 1..]))
}
