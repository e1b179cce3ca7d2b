//! Thumbnails of well-formed images.

use std::io::Cursor;

use database::Read as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use image::{
    AnimationDecoder as _, Delay, DynamicImage, Frame, GenericImageView as _, ImageFormat, Rgb,
    RgbImage, Rgba, RgbaImage,
    codecs::gif::{GifDecoder, GifEncoder},
};
use media::{
    Asker, DownloadError, Method, Mxc, Selection, Thumbnail, ThumbnailAsk, tables::MEDIA_THUMBNAILS,
};

use crate::house::{ALICE, BOB, House, wanted};

pub(crate) fn ask(width: u32, height: u32, method: Method) -> ThumbnailAsk {
    ThumbnailAsk {
        width,
        height,
        method,
        animated: false,
    }
}

/// Red on the left, blue on the right.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| {
        if x < width / 2 {
            Rgb([200, 0, 0])
        } else {
            Rgb([0, 0, 200])
        }
    })
}

pub(crate) fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .into()
        .write_to(&mut bytes, format)
        .expect("it is encoded");
    bytes.into_inner()
}

fn animation(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
        for number in 0..frames {
            let shade = u8::try_from(number * 10 % 250).expect("small");
            let image = RgbaImage::from_pixel(width, height, Rgba([shade, 0, 0, 255]));
            let delay = Delay::from_numer_denom_ms(100, 1);
            let frame = Frame::from_parts(image, 0, 0, delay);
            encoder.encode_frame(frame).expect("it is encoded");
        }
    }
    bytes
}

pub(crate) async fn try_thumbnail(
    house: &House,
    mxc: &Mxc,
    ask: ThumbnailAsk,
) -> Result<(Thumbnail, Vec<u8>), DownloadError> {
    let made = house
        .media
        .thumbnail(wanted(Asker::User(BOB), mxc), ask)
        .await?;
    let bits = house.media.read_thumbnail(&made).await?;
    let pieces: Vec<_> = bits.try_collect().await?;
    Ok((made, pieces.concat()))
}

async fn thumbnail(house: &House, mxc: &Mxc, ask: ThumbnailAsk) -> (Thumbnail, DynamicImage) {
    let (made, bytes) = try_thumbnail(house, mxc, ask).await.expect("a thumbnail");
    let image = image::load_from_memory(&bytes).expect("it is an image");
    (made, image)
}

#[tokio::test]
async fn images_of_all_formats_are_made_small() {
    let house = House::new().await;
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ] {
        let mxc = house
            .upload(ALICE, &encoded(picture(1000, 500), format))
            .await;

        let (made, scaled) = thumbnail(&house, &mxc, ask(300, 200, Method::Scale)).await;
        assert_eq!(scaled.dimensions(), (320, 160), "{format:?}");
        assert_eq!(made.content_type, "image/jpeg");
        let [red, _, blue, _] = scaled.get_pixel(10, 80).0;
        assert!(red > 150 && blue < 50, "{format:?} {red} {blue}");

        let (_, cropped) = thumbnail(&house, &mxc, ask(96, 96, Method::Crop)).await;
        assert_eq!(cropped.dimensions(), (96, 96), "{format:?}");
    }
}

#[tokio::test]
async fn a_thumbnail_is_made_once() {
    let house = House::new().await;
    let mxc = house
        .upload(ALICE, &encoded(picture(900, 700), ImageFormat::Png))
        .await;
    let before = house.contents_on_disk();

    let asked = (0..20).map(|_| thumbnail(&house, &mxc, ask(90, 90, Method::Crop)));
    let made: Vec<_> = stream::iter(asked).buffer_unordered(20).collect().await;

    assert!(made.windows(2).all(|pair| pair[0].0.hash == pair[1].0.hash));
    assert_eq!(house.contents_on_disk(), before + 1);
    let rows = house
        .snapshot()
        .await
        .page(MEDIA_THUMBNAILS.all(), 10)
        .await;
    assert_eq!(rows.expect("it reads").len(), 1);
}

#[tokio::test]
async fn thumbnails_go_with_the_last_file_of_their_content() {
    let house = House::new().await;
    let bytes = encoded(picture(900, 700), ImageFormat::Png);
    let (first, second) = (
        house.upload(ALICE, &bytes).await,
        house.upload(BOB, &bytes).await,
    );
    thumbnail(&house, &first, ask(96, 96, Method::Crop)).await;
    thumbnail(&house, &second, ask(320, 240, Method::Scale)).await;
    assert_eq!(house.contents_on_disk(), 3);

    house
        .media
        .delete(&Selection::Owner(ALICE))
        .await
        .expect("it deletes");
    assert_eq!(house.contents_on_disk(), 3);
    house
        .media
        .delete(&Selection::Owner(BOB))
        .await
        .expect("it deletes");

    assert_eq!(house.contents_on_disk(), 0);
    let found = house.media.check().await.expect("it checks");
    assert_eq!((found.orphans, found.miscounted), (0, 0));
}

#[tokio::test]
async fn a_small_image_is_its_own_thumbnail() {
    let house = House::new().await;
    let bytes = encoded(picture(50, 40), ImageFormat::Png);
    let mxc = house.upload(ALICE, &bytes).await;

    let (made, same) = try_thumbnail(&house, &mxc, ask(96, 96, Method::Crop))
        .await
        .expect("a thumbnail");

    assert_eq!(same, bytes);
    assert_eq!(made.content_type, "image/png");
    assert_eq!(house.contents_on_disk(), 1);
    house
        .media
        .delete(&Selection::Owner(ALICE))
        .await
        .expect("it deletes");
    assert_eq!(house.contents_on_disk(), 0);
}

#[tokio::test]
async fn transparency_is_kept() {
    let house = House::new().await;
    let glass = RgbaImage::from_pixel(800, 800, Rgba([10, 20, 30, 100]));
    let mxc = house.upload(ALICE, &encoded(glass, ImageFormat::Png)).await;

    let (made, small) = thumbnail(&house, &mxc, ask(96, 96, Method::Crop)).await;

    assert_eq!(made.content_type, "image/png");
    assert_eq!(small.get_pixel(5, 5).0[3], 100);
}

/// A JPEG with an EXIF segment: turned by 90 degrees, and with the words of a place in it.
pub(crate) fn turned_photo() -> Vec<u8> {
    let plain = encoded(picture(600, 300), ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    // Orientation, a short: 6 is a quarter turn clockwise.
    exif.extend(b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0");
    // ImageDescription, text at offset 38.
    exif.extend(b"\x01\x0e\0\x02\0\0\0\x0b\0\0\0\x26");
    exif.extend(b"\0\0\0\0GPS 52N 13E");
    let length = u16::try_from(exif.len() + 2).expect("short");
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    bytes
}

#[tokio::test]
async fn a_photo_is_turned_as_it_was_taken_and_does_not_tell_where() {
    let house = House::new().await;
    let mxc = house.upload(ALICE, &turned_photo()).await;

    for wanted in [ask(320, 240, Method::Scale), ask(1600, 1200, Method::Scale)] {
        let (_, bytes) = try_thumbnail(&house, &mxc, wanted)
            .await
            .expect("a thumbnail");
        let small = image::load_from_memory(&bytes).expect("it is an image");
        assert!(small.height() > small.width(), "{:?}", small.dimensions());
        // What was left is on top now.
        let [red, _, blue, _] = small.get_pixel(small.width() / 2, 10).0;
        assert!(red > 150 && blue < 50);
        let text = b"GPS 52N";
        assert!(!bytes.windows(text.len()).any(|window| window == text));
    }
}

#[tokio::test]
async fn only_those_who_ask_get_an_animation() {
    let house = House::new().await;
    for (width, height) in [(400, 300), (30, 30)] {
        let mxc = house.upload(ALICE, &animation(width, height, 5)).await;
        let (still, _) = thumbnail(&house, &mxc, ask(96, 96, Method::Crop)).await;
        assert_eq!(still.content_type, "image/jpeg");

        let animated = ThumbnailAsk {
            animated: true,
            ..ask(96, 96, Method::Crop)
        };
        let (moving, bytes) = try_thumbnail(&house, &mxc, animated)
            .await
            .expect("a thumbnail");
        assert_eq!(moving.content_type, "image/gif");
        let decoder = GifDecoder::new(Cursor::new(bytes)).expect("a GIF");
        let frames = decoder.into_frames().collect_frames().expect("frames");
        assert_eq!(frames.len(), 5);
        assert_eq!(frames[0].buffer().width(), width.min(96));
    }
}

#[tokio::test]
async fn what_cannot_move_is_still() {
    let house = House::new().await;
    let mxc = house
        .upload(ALICE, &encoded(picture(900, 700), ImageFormat::Png))
        .await;
    let animated = ThumbnailAsk {
        animated: true,
        ..ask(96, 96, Method::Crop)
    };

    let (made, _) = thumbnail(&house, &mxc, animated).await;

    assert_eq!(made.content_type, "image/jpeg");
}
