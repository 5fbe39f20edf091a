#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::super::told::Gauge;
use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn gauge(limit: u32, remaining: u32, reset: u64) -> Told {
    let gauge = Gauge { resource: Resource::Core, limit, remaining, reset_in: secs(reset) };
    Told { gauge: Some(gauge), ..Told::NOTHING }
}

fn refused(wait: Option<u64>) -> Told {
    Told { pressure: Pressure::Secondary(wait.map(secs)), ..Told::NOTHING }
}

/// Sends as fast as it may, and tells how long each had to wait, in ms.
async fn waits(pacer: &Pacer, kind: Kind, count: usize) -> Vec<u128> {
    let mut waits = Vec::new();
    for _ in 0..count {
        let asked = Instant::now();
        pacer.admit(kind).await.unwrap().done(Told::NOTHING);
        waits.push(asked.elapsed().as_millis());
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn some_writes_come_at_once_and_the_others_a_second_apart() {
    let pacer = Pacer::new(10);
    assert_eq!(waits(&pacer, Kind::Write, 7).await, [0, 0, 0, 0, 0, 1000, 1000]);
    assert_eq!(waits(&pacer, Kind::Read, 20).await, [0; 20], "reads need not wait for writes");
    tokio::time::sleep(secs(3)).await;
    assert_eq!(waits(&pacer, Kind::Mutation, 4).await, [0, 0, 0, 1000], "three seconds are three writes");
}

#[tokio::test(start_paused = true)]
async fn no_minute_has_more_points_than_allowed() {
    let pacer = Pacer::new(10);
    let began = Instant::now();
    let mut sent = Vec::new();
    while began.elapsed() < secs(200) {
        match pacer.admit(Kind::Read).await {
            Ok(permit) => {
                sent.push(Instant::now());
                permit.done(Told::NOTHING);
            }
            Err(until) => sleep_until(until).await,
        }
    }
    assert!(sent.len() > 3 * REST_POINTS as usize, "{}", sent.len());
    let most = REST_POINTS as usize;
    assert!(sent.windows(most + 1).all(|some| some[most] - some[0] >= MINUTE));
}

#[tokio::test(start_paused = true)]
async fn no_hour_has_more_comments_than_allowed() {
    let pacer = Pacer::new(10);
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < secs(3_599) {
        match pacer.admit(Kind::Creation).await {
            Ok(permit) => {
                sent += 1;
                permit.done(Told::NOTHING);
            }
            Err(until) => sleep_until(until).await,
        }
    }
    assert_eq!(sent, CREATIONS.1);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_spread_until_the_reset_and_the_reserve_is_not_touched() {
    let pacer = Pacer::new(10);
    pacer.admit(Kind::Read).await.unwrap().done(gauge(100, 60, 100));
    assert_eq!(waits(&pacer, Kind::Read, 10).await, [0; 10], "more than half is plenty");
    let began = Instant::now();
    let mut sent = 0;
    // Without a word of GitHub's nothing is known after the reset.
    while pacer.left(Resource::Core).is_some() {
        match pacer.admit(Kind::Read).await {
            Ok(permit) => permit.done(Told::NOTHING),
            Err(until) => sleep_until(until).await,
        }
        sent += 1;
        if sent == 30 {
            assert!((50..80).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        }
    }
    assert_eq!(sent, 41, "50 were left, of which 10 are the reserve; and one after the reset");
    assert!(began.elapsed() >= secs(100), "{:?}", began.elapsed());
    assert_eq!(waits(&pacer, Kind::Read, 3).await, [0; 3], "after the reset");
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_an_older_request_does_not_count() {
    let pacer = Pacer::new(0);
    let (first, second) = (pacer.admit(Kind::Read).await.unwrap(), pacer.admit(Kind::Read).await.unwrap());
    second.done(gauge(100, 70, 1000));
    assert_eq!(pacer.left(Resource::Core), Some((69, 100)), "the first may not be in it");
    first.done(gauge(100, 99, 1000));
    assert_eq!(pacer.left(Resource::Core), Some((69, 100)));
    let free = Told { is_free: true, ..gauge(100, 71, 1000) };
    pacer.admit(Kind::Read).await.unwrap().done(free);
    assert_eq!(pacer.left(Resource::Core), Some((71, 100)), "what has not changed costs nothing");
}

#[tokio::test(start_paused = true)]
async fn a_secondary_limit_is_waited_for_and_writes_are_slower_then() {
    let pacer = Pacer::new(10);
    pacer.admit(Kind::Write).await.unwrap().done(refused(Some(5)));
    assert_eq!(pacer.due(Kind::Read), Instant::now() + secs(5));
    assert_eq!(waits(&pacer, Kind::Write, 3).await, [5000, 2000, 2000], "half as fast, and none at once");
    pacer.admit(Kind::Write).await.unwrap().done(refused(Some(5)));
    assert_eq!(waits(&pacer, Kind::Write, 3).await, [5000, 4000, 4000]);
    tokio::time::sleep(MINUTE).await;
    waits(&pacer, Kind::Read, 1).await;
    assert_eq!(waits(&pacer, Kind::Write, 2).await, [0, 2000], "a minute later it is twice as fast again");
    tokio::time::sleep(MINUTE).await;
    waits(&pacer, Kind::Read, 1).await;
    assert_eq!(waits(&pacer, Kind::Write, 6).await, [0, 0, 0, 0, 0, 1000]);
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_for_long_is_told_until_when() {
    let pacer = Pacer::new(10);
    pacer.admit(Kind::Read).await.unwrap().done(refused(Some(60)));
    assert_eq!(pacer.admit(Kind::Query).await.unwrap_err(), Instant::now() + secs(60), "it is for all kinds");
    let pacer = Pacer::new(10);
    pacer.admit(Kind::Read).await.unwrap().done(Told { pressure: Pressure::Primary, ..gauge(50, 0, 600) });
    assert!(pacer.admit(Kind::Read).await.unwrap_err() > Instant::now() + secs(599));
    assert!(pacer.admit(Kind::Query).await.is_ok(), "the other limit is another");
}

#[tokio::test(start_paused = true)]
async fn without_a_word_of_how_long_pauses_grow() {
    let pacer = Pacer::new(10);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        pacer.admit(Kind::Read).await.unwrap().done(refused(None));
        let until = pacer.due(Kind::Read);
        pauses.push((until - Instant::now()).as_secs());
        sleep_until(until).await;
    }
    assert!((60..=120).contains(&pauses[0]) && (120..=240).contains(&pauses[1]), "{pauses:?}");
    assert!((240..=480).contains(&pauses[2]), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn never_more_than_some_run_at_once() {
    let pacer = Pacer::new(10);
    let mut running = Vec::new();
    for _ in 0..LANES {
        running.push(pacer.admit(Kind::Read).await.unwrap());
    }
    let next = tokio::time::timeout(secs(1), pacer.admit(Kind::Read)).await;
    assert!(next.is_err());
    running.pop();
    assert!(pacer.admit(Kind::Read).await.is_ok());
}
