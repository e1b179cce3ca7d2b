//! Images that are made to hurt: each ends in a clear error or a valid thumbnail, within the limits
//! of memory.

use image::ImageFormat;
use media::{DownloadError, Method, ThumbnailAsk, ThumbnailError};

use crate::{
    house::{ALICE, House},
    thumbnails::{ask, encoded, picture, try_thumbnail},
};

async fn outcome(bytes: &[u8], animated: bool) -> Result<(), ThumbnailError> {
    let house = House::new().await;
    let mxc = house.upload(ALICE, bytes).await;
    let ask = ThumbnailAsk {
        animated,
        ..ask(96, 96, Method::Crop)
    };
    let first = try_thumbnail(&house, &mxc, ask).await;
    match first {
        Ok((_, bytes)) => {
            image::load_from_memory(&bytes).expect("a valid image");
            Ok(())
        }
        Err(DownloadError::Thumbnail(error)) => {
            // The failure is remembered.
            let again = try_thumbnail(&house, &mxc, ask).await.map(|_| ());
            let DownloadError::Thumbnail(same) = again.expect_err("as before") else {
                panic!("another error")
            };
            assert_eq!(same, error);
            Err(error)
        }
        Err(error) => panic!("{error}"),
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let mut typed = kind.to_vec();
    typed.extend(data);
    let length = u32::try_from(data.len()).expect("short");
    [
        &length.to_be_bytes()[..],
        &typed,
        &crc(&typed).to_be_bytes(),
    ]
    .concat()
}

/// A PNG of this size whose pixels are left out.
fn png_header(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([depth, color, 0, 0, 0]);
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat()
}

#[tokio::test]
async fn decompression_bombs_are_refused_before_they_are_decoded() {
    for (width, height) in [
        (20_000, 20_000),
        (u32::MAX, 1),
        (1, u32::MAX),
        (65_535, 65_535),
    ] {
        let mut bytes = png_header(width, height, 8, 6);
        bytes.extend(chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]));
        assert_eq!(outcome(&bytes, false).await, Err(ThumbnailError::TooLarge));
    }
    let gif = b"GIF89a\xff\xff\xff\xff\0\0\0";
    assert_eq!(outcome(gif, true).await, Err(ThumbnailError::TooLarge));
    let mut jpeg = encoded(picture(16, 16), ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|two| two == [0xff, 0xc0])
        .expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(outcome(&jpeg, false).await, Err(ThumbnailError::TooLarge));
}

#[tokio::test]
async fn a_gif_frame_that_is_larger_than_its_screen_takes_no_memory() {
    let mut bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    bytes.extend(b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0\x3b");
    assert!(outcome(&bytes, false).await.is_err());
    assert!(outcome(&bytes, true).await.is_err());
}

#[tokio::test]
async fn a_profile_or_text_that_unpacks_to_much_is_refused_or_dropped() {
    // 64 KiB of a stored block of zeros, again and again, would be a bomb; here the stream is only
    // announced and broken.
    let plain = encoded(picture(200, 200), ImageFormat::Png);
    let mut profile = b"icc\0\0".to_vec();
    profile.extend([0x78, 0x9c, 0xed, 0xc1, 0x01, 0x01]);
    let bytes = [&plain[..33], &chunk(b"iCCP", &profile), &plain[33..]].concat();
    let ended = outcome(&bytes, false).await;
    assert!(
        !matches!(ended, Err(ThumbnailError::NotAnImage)),
        "{ended:?}"
    );
}

#[tokio::test]
async fn truncated_images_are_damaged_or_shown_as_far_as_they_go() {
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ] {
        let whole = encoded(picture(300, 200), format);
        for part in [4, 12, 20, 30, whole.len() / 2, whole.len() - 1] {
            let ended = outcome(&whole[..part], true).await;
            assert!(
                !matches!(ended, Err(ThumbnailError::Busy)),
                "{format:?} {part}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_image_is_not_decoded() {
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let pdf = b"%PDF-1.4\n";
    let html = b"<html><img src=x onerror=alert(1)>";
    let random: Vec<u8> = (0..5000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    for bytes in [&svg[..], pdf, html, &random, b"BM", b"II*\0", b"x"] {
        assert_eq!(outcome(bytes, false).await, Err(ThumbnailError::NotAnImage));
    }
}

#[tokio::test]
async fn extreme_shapes_have_thumbnails() {
    let tall = picture(1, 65_535);
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        assert_eq!(outcome(&encoded(tall.clone(), format), false).await, Ok(()));
    }
    let wide = picture(65_535, 1);
    assert_eq!(
        outcome(&encoded(wide, ImageFormat::Gif), true).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_polyglot_becomes_an_image_and_nothing_else() {
    let house = House::new().await;
    let script = b"<script>alert(1)</script>";
    let mut bytes = encoded(picture(300, 300), ImageFormat::Gif);
    bytes.extend(script);
    let mxc = house.upload(ALICE, &bytes).await;

    let (_, made) = try_thumbnail(&house, &mxc, ask(96, 96, Method::Crop))
        .await
        .expect("a thumbnail");

    assert!(!made.windows(script.len()).any(|window| window == script));
}

#[tokio::test]
async fn an_animation_without_end_is_shown_still() {
    let frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0";
    let mut bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    for _ in 0..10_000 {
        bytes.extend(frame);
    }
    assert_eq!(outcome(&bytes, true).await, Ok(()));
}

#[tokio::test]
async fn random_damage_never_panics() {
    let house = House::new().await;
    let mut state = 12_345_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ] {
        let whole = encoded(picture(120, 90), format);
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                let place = next() % bytes.len();
                bytes[place] = next().to_le_bytes()[0];
            }
            let mxc = house.upload(ALICE, &bytes).await;
            let ended = try_thumbnail(&house, &mxc, ask(32, 32, Method::Crop)).await;
            if let Err(DownloadError::Thumbnail(ThumbnailError::Damaged(why))) = ended {
                assert!(!why.contains("cannot be decoded"), "{format:?} panicked");
            }
        }
    }
}
