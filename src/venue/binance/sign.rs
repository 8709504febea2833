//! Keys and signatures: who we are at the venue, and proof of it. Both sides use this file: the
//! adapter signs, the simulated venue verifies.
//!
//! | where | what is signed | how the signature is written |
//! |---|---|---|
//! | REST | query string followed by body, percent-encoded, without `signature` | HMAC: hexadecimal; Ed25519: base64, percent-encoded |
//! | WebSocket API | all parameters but `signature`, sorted by name, `k=v` joined by `&`, not encoded | HMAC: hexadecimal; Ed25519: base64 |
//!
//! Keys never print. Signing allocates nothing.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

pub use crate::venue::secret::{Secret, SecretError};

/// Longest signature text: base64 of 64 bytes.
const LONGEST_SIGNATURE: usize = 88;

/// Why a text is not a key. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an Ed25519 private key in PKCS#8 PEM.
    #[error("expected an Ed25519 private key (PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes), found {0}")]
    PrivateKey(&'static str),
    /// Not an Ed25519 public key in SubjectPublicKeyInfo PEM.
    #[error("expected an Ed25519 public key (SubjectPublicKeyInfo PEM, `openssl pkey -pubout`), found {0}")]
    PublicKey(&'static str),
}

/// Signs requests with one of the venue's two kinds of key.
#[derive(Clone)]
pub enum Signer {
    /// HMAC-SHA256: a shared secret, signed anew with every request.
    Hmac(hmac::Key),
    /// Ed25519: may log a session on, after which requests need no signature.
    Ed25519(Arc<Ed25519KeyPair>),
}

impl Signer {
    /// A text that begins with `-----BEGIN` is an Ed25519 key, anything else an HMAC secret.
    ///
    /// # Errors
    /// The PEM does not hold an Ed25519 private key.
    pub fn from_secret(secret: &Secret) -> Result<Self, KeyError> {
        if !secret.expose().starts_with(b"-----BEGIN") {
            return Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret.expose())));
        }
        let der = pem_body(secret.expose()).ok_or(KeyError::PrivateKey("damaged PEM"))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.expose())
            .map_err(|_| KeyError::PrivateKey("another kind of key"))?;
        Ok(Self::Ed25519(Arc::new(pair)))
    }

    /// From the 32 bytes of an Ed25519 private seed.
    ///
    /// # Errors
    /// Not 32 bytes.
    pub fn from_ed25519_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::PrivateKey("a wrong length"))?;
        Ok(Self::Ed25519(Arc::new(pair)))
    }

    /// True for a key that can `session.logon`.
    #[must_use]
    pub fn can_log_on(&self) -> bool {
        matches!(self, Self::Ed25519(_))
    }

    /// What the other side needs to check our signatures.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        match self {
            Self::Hmac(key) => Verifier::Hmac(key.clone()),
            Self::Ed25519(pair) => {
                let mut public = [0; 32];
                public.copy_from_slice(pair.public_key().as_ref());
                Verifier::Ed25519(public)
            }
        }
    }

    /// The signature of these exact bytes, as text (hexadecimal or base64).
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> SignatureText {
        let mut text = SignatureText { bytes: [0; LONGEST_SIGNATURE], length: 0 };
        match self {
            Self::Hmac(key) => {
                let tag = hmac::sign(key, payload);
                for (pair, byte) in text.bytes.chunks_exact_mut(2).zip(tag.as_ref()) {
                    pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                text.length = 2 * tag.as_ref().len();
            }
            Self::Ed25519(pair) => {
                let signature = pair.sign(payload);
                // 64 bytes are 88 characters: it fits by construction.
                text.length = STANDARD.encode_slice(signature.as_ref(), &mut text.bytes).unwrap_or(0);
            }
        }
        text
    }

    /// Signs a REST query (or body) of percent-encoded parameters and appends `&signature=...`.
    pub fn sign_query(&self, query: &mut Vec<u8>) {
        let signature = self.sign(query);
        push_parameter(query, "signature", signature.as_bytes());
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Signer::Hmac(hidden)",
            Self::Ed25519(_) => "Signer::Ed25519(hidden)",
        })
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A signature as it goes on the wire, on the stack.
#[derive(Clone, Copy)]
pub struct SignatureText {
    bytes: [u8; LONGEST_SIGNATURE],
    length: usize,
}

impl SignatureText {
    /// Hexadecimal or base64 characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Checks signatures that somebody claims to have made.
#[derive(Clone)]
pub enum Verifier {
    /// Knows the shared secret.
    Hmac(hmac::Key),
    /// Knows the public key.
    Ed25519([u8; 32]),
}

impl Verifier {
    /// An HMAC secret, or an Ed25519 public key in PEM.
    ///
    /// # Errors
    /// The PEM does not hold an Ed25519 public key.
    pub fn from_text(text: &[u8]) -> Result<Self, KeyError> {
        let text = text.trim_ascii();
        if !text.starts_with(b"-----BEGIN") {
            return Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, text)));
        }
        let der = pem_body(text).ok_or(KeyError::PublicKey("damaged PEM"))?;
        let key = der.expose().strip_prefix(PUBLIC_KEY_PREFIX).ok_or(KeyError::PublicKey("another kind of key"))?;
        Ok(Self::Ed25519(key.try_into().map_err(|_| KeyError::PublicKey("a wrong length"))?))
    }

    /// True when `signature` (hexadecimal in either case, or base64; percent-decoded) is of `payload`.
    #[must_use]
    pub fn verify(&self, payload: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => {
                let mut tag = [0; 32];
                read_hex(signature, &mut tag) && hmac::verify(key, payload, &tag).is_ok()
            }
            Self::Ed25519(public) => {
                let mut raw = [0; LONGEST_SIGNATURE];
                let Ok(length) = STANDARD.decode_slice(signature, &mut raw) else { return false };
                UnparsedPublicKey::new(&ED25519, public).verify(payload, &raw[..length]).is_ok()
            }
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Verifier::Hmac(hidden)",
            Self::Ed25519(_) => "Verifier::Ed25519",
        })
    }
}

/// DER of SubjectPublicKeyInfo with the Ed25519 algorithm, up to the 32 bytes of the key (RFC 8410).
const PUBLIC_KEY_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The DER inside the first PEM block.
fn pem_body(text: &[u8]) -> Option<Secret> {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| line.starts_with(b"-----BEGIN"))?;
    let mut base64 = Secret::with_capacity(text.len());
    for line in lines {
        if line.starts_with(b"-----END") {
            return STANDARD.decode(base64.expose()).ok().map(Secret::from_vec);
        }
        base64.extend(line);
    }
    None
}

fn read_hex(text: &[u8], out: &mut [u8]) -> bool {
    if text.len() != 2 * out.len() {
        return false;
    }
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = high << 4 | low;
    }
    true
}

/// Appends `name=value`, percent-encoded, with a `&` before it unless it is the first.
pub fn push_parameter(query: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !query.is_empty() {
        query.push(b'&');
    }
    percent_encode(name.as_bytes(), query);
    query.push(b'=');
    percent_encode(value, query);
}

/// Appends `text` with everything but RFC 3986's unreserved characters written as `%XX`.
pub fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte);
        } else {
            const UPPER: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'%', UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]);
        }
    }
}

/// The reverse of [`percent_encode`], reading `+` as a blank as HTML forms write it; `None` for a
/// `%` without two hexadecimal digits.
#[must_use]
pub fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let mut decoded = [0];
                let (pair, after) = rest.split_at_checked(2)?;
                if !read_hex(pair, &mut decoded) {
                    return None;
                }
                out.push(decoded[0]);
                rest = after;
            }
            b'+' => out.push(b' '),
            _ => out.push(byte),
        }
    }
    Some(out)
}

/// Appends what is signed on the WebSocket API: parameters sorted by name, `signature` left out.
/// Values are given as they stand in the JSON, strings without their quotation marks.
pub fn websocket_payload(parameters: &mut [(&str, &str)], out: &mut Vec<u8>) {
    parameters.sort_unstable_by_key(|(name, _)| *name);
    let start = out.len();
    for (name, value) in parameters.iter().filter(|(name, _)| *name != "signature") {
        if out.len() > start {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Published by the venue in its documentation; the Ed25519 seed is a published throw-away key.
    const HMAC_SECRET: &[u8] = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
    const SEED: &str = "8244616b4606b8400a66fd0efcbea9af1611fd2540e975b3808b20007d9bcf6e";
    const PUBLIC: &str = "19420abfd752a565c15625e9da6eaf0086fc40c14960183214442c14996a800d";
    const REST: &[u8] = b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=IOC&quantity=0.00500&price=60000.00&newClientOrderId=eng-1&recvWindow=2000&timestamp=1700000000000";

    fn hex(text: &str) -> Vec<u8> {
        let mut bytes = vec![0; text.len() / 2];
        assert!(read_hex(text.as_bytes(), &mut bytes));
        bytes
    }

    fn hmac_signer() -> Signer {
        Signer::from_secret(&Secret::new(HMAC_SECRET)).unwrap()
    }

    fn ed25519_signer() -> Signer {
        Signer::from_ed25519_seed(&hex(SEED)).unwrap()
    }

    fn text(signature: SignatureText) -> String {
        String::from_utf8(signature.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_documented_signatures_come_out() {
        let documented = b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
        assert_eq!(
            text(hmac_signer().sign(documented)),
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
        );
        assert_eq!(text(hmac_signer().sign(REST)), "636585c0f3039ab5c75d0a8205ebb148ebb195acba043c72c1ac74f0aecef72e");
        assert_eq!(
            text(ed25519_signer().sign(REST)),
            "fTGKuA0AuR1pxU3EW0CCjSoQAPZ3Mkj5G2Y9cySPLkFi8Kwjn7zHMQtUSv19bl2j3FlGCtYP19ZpbJzBnQxsAA=="
        );
        let logon = b"A\x01EXAMPLE\x01SPOT\x011\x0120240627-11:17:25.223";
        assert_eq!(
            text(ed25519_signer().sign(logon)),
            "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA=="
        );
    }

    #[test]
    fn websocket_parameters_are_signed_in_order_of_their_names() {
        let mut parameters = [
            ("symbol", "BTCUSDT"),
            ("side", "BUY"),
            ("type", "LIMIT"),
            ("timeInForce", "IOC"),
            ("quantity", "0.00500"),
            ("price", "60000.00"),
            ("newClientOrderId", "eng-1"),
            ("recvWindow", "2000"),
            ("timestamp", "1700000000000"),
            ("apiKey", "KEY1"),
            ("signature", "left out"),
        ];
        let mut payload = Vec::new();
        websocket_payload(&mut parameters, &mut payload);
        assert_eq!(
            String::from_utf8(payload.clone()).unwrap(),
            "apiKey=KEY1&newClientOrderId=eng-1&price=60000.00&quantity=0.00500&recvWindow=2000&side=BUY&symbol=BTCUSDT&timeInForce=IOC&timestamp=1700000000000&type=LIMIT"
        );
        assert_eq!(
            text(ed25519_signer().sign(&payload)),
            "o4wKW89jTTsf2p0wcri55RT9GDJUHmpoIU76zoIhXGKjywi2INBTTNl1uPidnhOT+r1TpErta1Gqie0zN5vICA=="
        );
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else_does() {
        for signer in [hmac_signer(), ed25519_signer()] {
            let (verifier, signature) = (signer.verifier(), signer.sign(REST));
            assert!(verifier.verify(REST, signature.as_bytes()));
            assert!(!verifier.verify(&REST[1..], signature.as_bytes()));
            let mut changed = signature.as_bytes().to_vec();
            changed[3] = if changed[3] == b'1' { b'2' } else { b'1' };
            assert!(!verifier.verify(REST, &changed));
            for hostile in [&b""[..], b"=", b"zz", &[0xff; 88], &[b'a'; 4096]] {
                assert!(!verifier.verify(REST, hostile));
            }
        }
        let upper = text(hmac_signer().sign(REST)).to_uppercase();
        assert!(hmac_signer().verifier().verify(REST, upper.as_bytes()));
    }

    #[test]
    fn a_key_made_by_openssl_is_read() {
        // openssl genpkey -algorithm ed25519; openssl pkey -pubout.
        let private = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u\n-----END PRIVATE KEY-----\n";
        let signer = Signer::from_secret(&Secret::new(private)).unwrap();
        assert!(signer.can_log_on());
        assert_eq!(signer.sign(REST).as_bytes(), ed25519_signer().sign(REST).as_bytes());
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGUIKv9dSpWXBViXp2m6vAIb8QMFJYBgyFEQsFJlqgA0=\n-----END PUBLIC KEY-----";
        let verifier = Verifier::from_text(public.as_bytes()).unwrap();
        assert!(matches!(verifier, Verifier::Ed25519(key) if key[..] == hex(PUBLIC)));
        let rsa = b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----";
        assert_eq!(Signer::from_secret(&Secret::new(rsa)).unwrap_err(), KeyError::PrivateKey("another kind of key"));
        assert!(Signer::from_secret(&Secret::new(b"-----BEGIN nothing")).is_err());
    }

    #[test]
    fn a_rest_query_ends_in_its_signature() {
        let mut query = Vec::new();
        push_parameter(&mut query, "symbol", "ＢＴＣ+1".as_bytes());
        push_parameter(&mut query, "timestamp", b"1");
        assert_eq!(query, b"symbol=%EF%BC%A2%EF%BC%B4%EF%BC%A3%2B1&timestamp=1");
        let signer = ed25519_signer();
        let expected = signer.sign(&query);
        let unsigned = query.clone();
        signer.sign_query(&mut query);
        let tail = query.strip_prefix(&unsigned[..]).unwrap().strip_prefix(b"&signature=").unwrap();
        assert!(!tail.iter().any(|byte| b"+/=".contains(byte)));
        assert_eq!(percent_decode(tail).unwrap(), expected.as_bytes());
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new(HMAC_SECRET);
        let shown = format!("{secret:?} {:?} {:?}", hmac_signer(), hmac_signer().verifier());
        assert!(!shown.contains("Nhq"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in any::<Vec<u8>>()) {
            let mut encoded = Vec::new();
            percent_encode(&text, &mut encoded);
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(percent_decode(&encoded), Some(text));
        }

        #[test]
        fn hostile_encodings_do_not_panic(text in any::<Vec<u8>>()) {
            let _ = percent_decode(&text);
            let _ = Verifier::from_text(&text);
            let _ = hmac_signer().verifier().verify(b"x", &text);
            let _ = ed25519_signer().verifier().verify(b"x", &text);
        }
    }
}
