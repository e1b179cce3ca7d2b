//! The operator's commands work with a running server, through its socket, and without one.

use crate::client::{Client, PASSWORD, ask_to_login};
use crate::server::Home;

#[tokio::test]
async fn an_account_is_made_while_the_server_runs() {
    let home = Home::new();
    let server = home.start().await;

    create(&home, "alice").await;

    assert_eq!(
        Client::login(&server, "alice").await.user,
        "@alice:localhost"
    );
    server.stop().await;
}

#[tokio::test]
async fn an_account_is_made_while_no_server_runs() {
    let home = Home::new();

    create(&home, "alice").await;

    let server = home.start().await;
    assert_eq!(
        Client::login(&server, "alice").await.user,
        "@alice:localhost"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_password_is_reset_and_devices_are_logged_out() {
    let home = Home::new();
    let server = home.start().await;
    let phone = Client::register(&server, "alice").await;

    let input = "another password\nanother password\n";
    let arguments = ["user", "reset-password", "alice"];
    let output = home
        .run_with_input(&home.database(), &arguments, input)
        .await;

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        phone
            .get("/v3/account/whoami")
            .await
            .expect("the server runs")
            .status,
        401
    );
    let http = server.http();
    assert_eq!(ask_to_login(&http, "alice", PASSWORD).await.status, 403);
    assert_eq!(
        ask_to_login(&http, "alice", "another password")
            .await
            .status,
        200
    );
    server.stop().await;
}

async fn create(home: &Home, name: &str) {
    let input = format!("{PASSWORD}\n{PASSWORD}\n");
    let arguments = ["user", "create", name];
    let output = home
        .run_with_input(&home.database(), &arguments, &input)
        .await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
