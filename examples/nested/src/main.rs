//! `cargo run -p example-nested`, then register and sign in at <http://127.0.0.1:8080/id/register>.

use jotgate::config::{Config, Origin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let address = listener.local_addr()?;
    let public_url = Origin { https: false, host: address.ip().to_string(), port: Some(address.port()) };
    let server = example_nested::identity(Config::default(), public_url).open().await?;
    tokio::spawn({
        let server = server.clone();
        async move {
            if let Err(error) = example_nested::follow(server).await {
                eprintln!("no events: {error}");
            }
        }
    });
    println!("listening on http://{address}");
    let app = example_nested::app(server).into_make_service_with_connect_info::<std::net::SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
