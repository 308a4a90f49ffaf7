//! `cargo run -p example-resource-server -- http://127.0.0.1:8080`, with a Jotgate there.

use std::error::Error;

use jotgate_verify::follow::Issuer;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    // Jotgate's tokens name its own address as audience unless `token.audience` says otherwise.
    let follower = Issuer::new(&issuer, &issuer).follow()?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, example_resource_server::app(follower)).await?;
    Ok(())
}
