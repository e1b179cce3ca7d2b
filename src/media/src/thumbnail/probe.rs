//! What an image is, from its first bytes: nothing is decoded and nothing believed. Decides how
//! much memory decoding takes, before any is taken.

use crate::{error::ThumbnailError, thumbnail::size::Size};

/// Bytes of the start of a file that are looked at.
pub(super) const PREFIX: u64 = 256 * 1024;

/// The formats that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) format: Format,
    pub(super) size: Size,
    /// Bytes that decoding and converting take for each pixel.
    bytes_per_pixel: u64,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }
}

impl Probe {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, ThumbnailError> {
        let probe = if bytes.starts_with(b"\xff\xd8\xff") {
            jpeg(bytes)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            png(bytes)
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            gif(bytes)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            webp(bytes)
        } else {
            return Err(ThumbnailError::NotAnImage);
        };
        let probe = probe.filter(|probe| probe.size.width > 0 && probe.size.height > 0);
        probe.ok_or_else(|| ThumbnailError::Damaged("it has no size".to_owned()))
    }

    /// Bytes that decoding takes, without the file itself.
    pub(super) fn memory(&self) -> u64 {
        let pixels = u64::from(self.size.width) * u64::from(self.size.height);
        pixels.saturating_mul(self.bytes_per_pixel)
    }
}

fn probe(format: Format, width: u32, height: u32, bytes_per_pixel: u64) -> Probe {
    Probe {
        format,
        size: Size::new(width, height),
        bytes_per_pixel,
    }
}

/// Walks over the segments up to the frame's header.
fn jpeg(bytes: &[u8]) -> Option<Probe> {
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        let marker = *bytes.get(at + 1)?;
        match marker {
            // Padding, and markers without a length.
            0xff => at += 1,
            0x01 | 0xd0..=0xd7 => at += 2,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let height = u16::from_be_bytes(bytes.get(at + 5..at + 7)?.try_into().ok()?);
                let width = u16::from_be_bytes(bytes.get(at + 7..at + 9)?.try_into().ok()?);
                let components = u64::from(*bytes.get(at + 9)?);
                let is_progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
                // A progressive image is kept as coefficients of two bytes until its last scan.
                let coefficients = if is_progressive { 2 * components } else { 0 };
                let pixel = components.max(3) + coefficients;
                return Some(probe(Format::Jpeg, width.into(), height.into(), pixel));
            }
            _ => {
                let length = u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?);
                at += 2 + usize::from(length.max(2));
            }
        }
    }
}

fn png(bytes: &[u8]) -> Option<Probe> {
    if bytes.get(12..16)? != b"IHDR" {
        return None;
    }
    let width = u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?);
    let height = u32::from_be_bytes(bytes.get(20..24)?.try_into().ok()?);
    let (depth, color) = (*bytes.get(24)?, *bytes.get(25)?);
    // What decoding yields, and a copy in 8-bit color where that is another form. Animated ones
    // also keep a canvas.
    let pixel = match (color, depth) {
        (2, 8) => 3,
        (6, 8) => 4,
        (_, 16) => 8 + 4,
        _ => 4 + 4,
    };
    Some(probe(Format::Png, width, height, pixel))
}

fn gif(bytes: &[u8]) -> Option<Probe> {
    let width = u16::from_le_bytes(bytes.get(6..8)?.try_into().ok()?);
    let height = u16::from_le_bytes(bytes.get(8..10)?.try_into().ok()?);
    // The canvas, a frame, and what the frame before left.
    Some(probe(Format::Gif, width.into(), height.into(), 12))
}

fn webp(bytes: &[u8]) -> Option<Probe> {
    let data = bytes.get(20..)?;
    let (width, height) = match bytes.get(12..16)? {
        b"VP8X" => {
            let length = |at: usize| {
                let three = data.get(at..at + 3)?;
                Some(1 + u32::from_le_bytes([three[0], three[1], three[2], 0]))
            };
            (length(4)?, length(7)?)
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(data.get(1..5)?.try_into().ok()?);
            (1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff))
        }
        b"VP8 " => {
            let length = |at: usize| {
                let two = data.get(at..at + 2)?.try_into().ok()?;
                Some(u32::from(u16::from_le_bytes(two) & 0x3fff))
            };
            (length(6)?, length(8)?)
        }
        _ => return None,
    };
    // The frame in its own color space and the canvas.
    Some(probe(Format::WebP, width, height, 4 + 4 + 4))
}
