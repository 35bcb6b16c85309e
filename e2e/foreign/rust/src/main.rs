//! What an unmodified iii-sdk for Rust does against the engine; prints a line for each thing that worked.
//!
//! Usage: foreign-client <address of the workers' port> <address of HTTP> <a name for what this run registers>

#![allow(deprecated)] // The generation that is tried here still binds triggers, and says that it will not always.

use iii_sdk::channels::{ChannelReader, StreamChannelRef};
use iii_sdk::error::Error;
use iii_sdk::helpers::create_channel;
use iii_sdk::iii::{IIIClient, RegisterFunction};
use iii_sdk::protocol::{RegisterTriggerInput, TriggerAction, TriggerRequest};
use iii_sdk::{register_worker, InitOptions};
use serde_json::{json, Value};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Registrations travel: what is asked too early is asked again, for as long as the caller of this program waits.
async fn eventually<F: Future<Output = Result<Value, Failure>>>(attempt: impl Fn() -> F, wanted: Value) {
    loop {
        if attempt().await.is_ok_and(|got| got == wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn call(client: &IIIClient, function_id: &str, payload: Value) -> Result<Value, Failure> {
    Ok(client.trigger(TriggerRequest::new(function_id, payload)).await?)
}

/// The body of the answer to a POST of JSON.
async fn post(http: &str, path: &str, body: &Value) -> Result<Value, Failure> {
    let host = http.trim_start_matches("http://");
    let body = body.to_string();
    let mut socket = TcpStream::connect(host).await?;
    let head = format!("POST {path} HTTP/1.0\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let (_, content) = answer.split_once("\r\n\r\n").ok_or("no body")?;
    Ok(serde_json::from_str(content)?)
}

fn serve(worker: &IIIClient, workers: &str, name: &str, heard: &Arc<AtomicU64>) {
    worker.register_function(
        format!("{name}::add"),
        RegisterFunction::new_async(|input: Value| async move {
            Ok::<_, Error>(json!({ "sum": input["a"].as_i64().unwrap_or(0) + input["b"].as_i64().unwrap_or(0) }))
        }),
    );
    worker.register_function(
        format!("{name}::over_http"),
        RegisterFunction::new_async(|request: Value| async move {
            Ok::<_, Error>(json!({ "status_code": 200, "body": { "hello": request["body"]["name"] } }))
        }),
    );
    let heard = heard.clone();
    worker.register_function(
        format!("{name}::job"),
        RegisterFunction::new_async(move |input: Value| {
            heard.store(input["n"].as_u64().unwrap_or(0), Ordering::SeqCst);
            async move { Ok::<_, Error>(json!(null)) }
        }),
    );
    let address = workers.to_owned();
    worker.register_function(
        format!("{name}::read"),
        RegisterFunction::new_async(move |input: Value| {
            let address = address.clone();
            async move {
                let reference: StreamChannelRef = serde_json::from_value(input["reader"].clone()).expect("a reader");
                let bytes = ChannelReader::new(&address, &reference).read_all().await?;
                Ok::<_, Error>(json!({ "bytes": bytes.len() }))
            }
        }),
    );
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [workers, http, name] = args.as_slice() else { return Err("three arguments are needed".into()) };
    let worker = register_worker(workers, InitOptions::default());
    let caller = register_worker(workers, InitOptions::default());
    let heard = Arc::new(AtomicU64::new(0));
    serve(&worker, workers, name, &heard);
    println!("registers");

    let add = format!("{name}::add");
    eventually(|| call(&caller, &add, json!({ "a": 2, "b": 3 })), json!({ "sum": 5 })).await;
    println!("is called, and calls");

    let scope = format!("{name}-scope");
    let written = call(&caller, "state::set", json!({ "scope": scope, "key": "k", "value": { "n": 1 } })).await?;
    assert_eq!(written, json!({ "old_value": null, "new_value": { "n": 1 } }));
    assert_eq!(call(&caller, "state::get", json!({ "scope": scope, "key": "k" })).await?, json!({ "n": 1 }));
    println!("keeps state");

    let path = format!("/{name}/hello");
    worker.register_trigger(RegisterTriggerInput::new(
        "http",
        format!("{name}::over_http"),
        json!({ "api_path": path, "http_method": "POST" }),
    ))?;
    eventually(|| async { post(http, &path, &json!({ "name": "you" })).await }, json!({ "hello": "you" })).await;
    println!("answers over HTTP");

    let channel = create_channel(&caller, None).await?;
    let reader = serde_json::to_value(&channel.reader_ref)?;
    let writing = async {
        channel.writer.write(&vec![b'x'; 200_000]).await?;
        channel.writer.close().await?;
        Ok::<_, Failure>(())
    };
    let read = format!("{name}::read");
    let (answer, written) = tokio::join!(call(&caller, &read, json!({ "reader": reader })), writing);
    written?;
    assert_eq!(answer?, json!({ "bytes": 200_000 }));
    println!("carries bytes through a channel");

    let receipt = caller
        .trigger(TriggerRequest {
            function_id: format!("{name}::job"),
            payload: json!({ "n": 7 }),
            action: Some(TriggerAction::Enqueue { queue: "default".into() }),
            timeout_ms: None,
        })
        .await?;
    assert!(receipt["messageReceiptId"].is_string());
    while heard.load(Ordering::SeqCst) != 7 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("enqueues");

    worker.shutdown_async().await;
    caller.shutdown_async().await;
    Ok(())
}
