//! A resource server as a process of its own: follows the issuer that it is given, and says of each token that
//! comes in on a line whether it holds.

use std::error::Error;
use std::io::{Write as _, stdin, stdout};
use std::time::Duration;

use jotgate_verify::follow::Issuer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = std::env::args().nth(1).ok_or("usage: verifier ISSUER")?;
    let follower = Issuer::new(&issuer, &issuer).follow()?;
    if !follower.ready(Duration::from_secs(30)).await {
        return Err(format!("{issuer} is not heard: {:?}", follower.trouble(&issuer)).into());
    }
    let mut out = stdout().lock();
    writeln!(out, "ready")?;
    let lines = stdin().lines();
    for line in lines {
        let verdict = match follower.check(&line?).await {
            Ok(_) => "valid",
            Err(refusal) => refusal.code(),
        };
        writeln!(out, "{verdict}")?;
        out.flush()?;
    }
    Ok(())
}
