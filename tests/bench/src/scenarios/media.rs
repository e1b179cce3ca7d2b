//! Uploads, downloads and thumbnails.

use std::cell::RefCell;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api;
use crate::bench::{Bench, Tally};
use crate::http::{Conn, Failure, Reply};
use crate::stats::ratio;

/// Parameters on the command line.
#[derive(Args, Serialize)]
pub struct Params {
    /// Blobs to upload, then to download
    #[arg(long, default_value_t = 200)]
    blobs: usize,
    #[arg(long, default_value_t = 1024)]
    blob_kib: usize,
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
    /// Images to upload and ask thumbnails of
    #[arg(long, default_value_t = 20)]
    images: usize,
    #[arg(long, default_value_t = 1280)]
    image_width: u32,
    #[arg(long, default_value_t = 960)]
    image_height: u32,
}

impl Params {
    pub async fn run(&self, bench: &Bench) -> Result<Value> {
        let accounts = bench.accounts(4).await?;
        let token = |i: usize| accounts[i % accounts.len()].token.as_str();
        let blob = noise(self.blob_kib * 1024, 1);
        let image = png(self.image_width, self.image_height)?;

        let uris = RefCell::new(Vec::new());
        let window = bench.begin().await;
        let up = bench
            .closed_loop(self.concurrency, self.blobs, async |conn, i| {
                upload(
                    conn,
                    token(i),
                    "application/octet-stream",
                    numbered(&blob, i),
                    &uris,
                )
                .await
            })
            .await;
        let up_usage = bench.end(window).await;

        let blobs = uris.take();
        let window = bench.begin().await;
        let down = bench
            .closed_loop(self.concurrency, blobs.len(), async |conn, i| {
                conn.send(&api::download(token(i), &blobs[i])).await
            })
            .await;
        let down_usage = bench.end(window).await;

        let window = bench.begin().await;
        let image_up = bench
            .closed_loop(1, self.images, async |conn, i| {
                upload(conn, token(i), "image/png", numbered(&image, i), &uris).await
            })
            .await;
        let image_usage = bench.end(window).await;

        let images = uris.take();
        let thumbnails = async |conn: &mut Conn, i: usize| {
            conn.send(&api::thumbnail(token(i), &images[i], 320, 240))
                .await
        };
        let window = bench.begin().await;
        let first = bench.closed_loop(1, images.len(), thumbnails).await;
        let first_usage = bench.end(window).await;
        let again = bench.closed_loop(1, images.len(), thumbnails).await;

        let mib = self.blob_kib as f64 / 1024.0;
        let rate = |t: &Tally| ratio(t.count() * mib, t.wall.as_secs_f64());
        Ok(json!({
            "upload": up.json(),
            "upload_mib_per_s": rate(&up),
            "upload_cpu_ms_per_mib": up_usage.cpu_ms_per(up.count() * mib),
            "download": down.json(),
            "download_mib_per_s": rate(&down),
            "download_cpu_ms_per_mib": down_usage.cpu_ms_per(down.count() * mib),
            "image_bytes": image.len(),
            "image_upload": image_up.json(),
            "image_upload_cpu_ms": image_usage.cpu_ms_per(image_up.count()),
            "thumbnail_first": first.json(),
            "thumbnail_first_cpu_ms": first_usage.cpu_ms_per(first.count()),
            "thumbnail_again": again.json(),
            "usage": up_usage.json(),
        }))
    }
}

async fn upload(
    conn: &mut Conn,
    token: &str,
    content_type: &'static str,
    body: Bytes,
    uris: &RefCell<Vec<String>>,
) -> Result<Reply, Failure> {
    let reply = conn.send(&api::upload(token, content_type, body)).await?;
    if let Ok(uploaded) = reply.json::<api::Uploaded>() {
        uris.borrow_mut().push(uploaded.content_uri);
    }
    Ok(reply)
}

/// The same content with a number behind it, so that no two uploads are equal. Readers of PNG
/// ignore what follows the end of the image.
fn numbered(content: &[u8], i: usize) -> Bytes {
    let mut content = content.to_vec();
    content.extend_from_slice(&(i as u64).to_le_bytes());
    content.into()
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// A picture with gradients and a little noise, as a photograph would have.
fn png(width: u32, height: u32) -> Result<Vec<u8>> {
    let noise = noise((width * height) as usize, 2);
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let grain = noise[(y * width + x) as usize] & 7;
            pixels.push((x * 247 / width) as u8 + grain);
            pixels.push((y * 247 / height) as u8 + grain);
            pixels.push(((x + y) * 247 / (width + height)) as u8 + grain);
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(out)
}
