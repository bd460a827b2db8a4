//! The picture of an exhibition: sent by an admin, made small, shown to everybody.

use admit::admin::Role;
use admit::catalogue::picture;
use serde_json::json;

use crate::support::browser::Browser;
use crate::support::given::places;
use crate::support::{Answer, TestApp};

/// A PNG of one colour.
pub fn png(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(width, height, image::Rgb([shade, 80, 120]));
    image.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

pub async fn sent(app: &TestApp, token: &str, query: &str, file: Vec<u8>) -> Answer {
    let seen = app.url("/api/admin/exhibitions/xyz/picture");
    let put =
        app.http.put(app.url(&format!("/api/admin/exhibitions/xyz/picture{query}"))).bearer_auth(token).body(file);
    Answer::of(app.as_seen(put, &seen, token).await).await
}

/// As somebody does who has seen this.
async fn sent_as(app: &TestApp, token: &str, tag: &str, query: &str, file: Vec<u8>) -> Answer {
    let url = app.url(&format!("/api/admin/exhibitions/xyz/picture{query}"));
    Answer::of(app.http.put(url).bearer_auth(token).header("if-match", format!("\"{tag}\"")).body(file)).await
}

async fn taken_away(app: &TestApp, token: &str, tag: &str) -> Answer {
    let url = app.url("/api/admin/exhibitions/xyz/picture");
    Answer::of(app.http.delete(url).bearer_auth(token).header("if-match", format!("\"{tag}\""))).await
}

pub const ALT: &str = "?alt_ko=%EC%96%B8%EB%8D%95&alt_en=Hills%20%3C%26%3E";

#[tokio::test]
async fn an_admin_sets_the_picture_that_everybody_sees() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("kim", Role::Admin, &["xyz"]).await;
    let token = app.access_token("kim").await;
    let nobody = Browser::new(&app);
    nobody.get("/xyz").await.expect(200, &[]).without("class=\"picture\"").without("og:image");

    let first = sent(&app, &token, ALT, png(1600, 800, 1)).await.expect(200);
    let shot = &first.body["picture"];
    assert_eq!((&shot["width"], &shot["height"], &shot["alt_en"]), (&json!(1280), &json!(640), &json!("Hills <&>")));
    app.refresh().await;
    let (wide, narrow) = (shot["url"].as_str().unwrap(), shot["narrow_url"].as_str().unwrap());
    nobody.get("/xyz?lang=ko").await.leads_to("/xyz");
    let og = format!("property=\"og:image\" content=\"http://localhost:8080{wide}\"");
    let srcset = format!("srcset=\"{narrow} 640w, {wide} 1280w\"");
    nobody
        .get("/xyz")
        .await
        .expect(200, &[&og, &srcset, "alt=\"언덕\"", "\"image\":[\"http://localhost:8080/pictures/"]);
    nobody.get("/").await.expect(200, &[narrow]);
    nobody.get("/xyz?lang=en").await.leads_to("/xyz");
    nobody.get("/xyz").await.expect(200, &["alt=\"Hills &#60;&#38;&#62;\""]);
    let listed = Answer::of(app.http.get(app.url("/api/exhibitions"))).await.expect(200);
    assert_eq!(listed.body["exhibitions"][0]["picture"], *shot);
    for (url, width) in [(wide, picture::WIDE), (narrow, picture::NARROW)] {
        let reply = app.http.get(app.url(url)).send().await.unwrap();
        assert_eq!(reply.headers()["content-type"], "image/jpeg");
        assert_eq!(reply.headers()["cache-control"], "public, max-age=31536000, immutable");
        let read = image::load_from_memory(&reply.bytes().await.unwrap()).unwrap();
        assert_eq!((read.width(), read.height()), (width, width / 2));
    }

    // Another one: the first stays for whoever still has a page with it, and goes in time.
    let second = sent(&app, &token, ALT, png(640, 640, 2)).await.expect(200);
    app.refresh().await;
    nobody.get("/xyz").await.expect(200, &["height=\"1280\""]).without(wide);
    nobody.get(wide).await.expect(200, &[]);
    app.db.execute("update pictures set shown_at = shown_at - interval '31 days'").await;
    let third = sent(&app, &token, ALT, png(640, 640, 3)).await.expect(200);
    nobody.get(wide).await.expect(404, &[]);
    // The second was shown until a moment ago, however old it is.
    nobody.get(second.body["picture"]["url"].as_str().unwrap()).await.expect(200, &[]);

    taken_away(&app, &token, &third.text("picture_tag")).await.expect(204);
    taken_away(&app, &token, "none").await.expect(204);
    app.refresh().await;
    nobody.get("/xyz").await.expect(200, &[]).without("class=\"picture\"");
    nobody.get(third.body["picture"]["url"].as_str().unwrap()).await.expect(404, &[]);
    let last = app.db.one::<String>("select before ->> 'picture' from admin_audit order by id desc limit 1").await;
    assert!(third.body["picture"]["url"].as_str().unwrap().contains(&last));
    let recorded = "select count(*) from admin_audit where action = 'exhibition.picture' and user_name = 'kim'";
    assert_eq!(app.db.one::<i64>(recorded).await, 4, "three set, one taken away");
    app.finish().await;
}

#[tokio::test]
async fn a_picture_is_changed_as_it_was_seen_or_not_at_all() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("kim", Role::Admin, &["xyz"]).await;
    let token = app.access_token("kim").await;
    let read = async |path: &str| {
        let url = app.url(&format!("/api/admin/exhibitions/xyz{path}"));
        Answer::of(app.http.get(url).bearer_auth(&token)).await.expect(200)
    };
    assert_eq!(read("").await.text("picture_tag"), "none");
    // Two who have both seen that there is none: the second is told.
    let first = sent_as(&app, &token, "none", ALT, png(640, 400, 1)).await.expect(200);
    sent_as(&app, &token, "none", ALT, png(640, 400, 2)).await.refused(412, "request.changed_meanwhile");
    let tag = first.text("picture_tag");
    assert_eq!(
        (read("").await.text("picture_tag"), read("/picture").await.text("picture_tag")),
        (tag.clone(), tag.clone())
    );

    // Its texts alone: the file is not sent again, and stays.
    let said = sent_as(&app, &token, &tag, "?alt_ko=a&alt_en=b", Vec::new()).await.expect(200);
    let (before, after) = (&first.body["picture"], &said.body["picture"]);
    assert_eq!((&after["alt"], &after["alt_en"]), (&json!("a"), &json!("b")));
    assert_eq!((&after["url"], &after["height"]), (&before["url"], &before["height"]));
    assert_eq!(read("").await.body["picture"], *after);
    app.http.get(app.url(after["url"].as_str().unwrap())).send().await.unwrap().error_for_status().unwrap();
    let recorded: serde_json::Value = app
        .db
        .one("select jsonb_build_array(before, after) from admin_audit where action = 'exhibition.picture' order by id desc limit 1")
        .await;
    let digest = &recorded[0]["picture"];
    let told = json!([{ "picture": digest, "alt_ko": "언덕", "alt_en": "Hills <&>" }, { "picture": digest, "alt_ko": "a", "alt_en": "b" }]);
    assert_eq!(recorded, told);
    assert!(after["url"].as_str().unwrap().contains(digest.as_str().unwrap()));
    // Whoever has seen the texts before neither writes over them nor takes the picture away.
    sent_as(&app, &token, &tag, ALT, Vec::new()).await.refused(412, "request.changed_meanwhile");
    taken_away(&app, &token, &tag).await.refused(412, "request.changed_meanwhile");
    // The same again is no change.
    let tag = said.text("picture_tag");
    let again = sent_as(&app, &token, &tag, "?alt_ko=a&alt_en=b", Vec::new()).await.expect(200);
    assert_eq!(again.text("picture_tag"), tag);
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action = 'exhibition.picture'").await, 2);

    taken_away(&app, &token, &tag).await.expect(204);
    sent_as(&app, &token, "none", ALT, Vec::new()).await.refused(422, "picture.unreadable");
    taken_away(&app, &token, &tag).await.refused(412, "request.changed_meanwhile");
    app.finish().await;
}

#[tokio::test]
async fn a_picture_of_no_use_or_from_a_stranger_changes_nothing() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("kim", Role::Admin, &["xyz"]).await;
    app.account("gate", Role::Staff, &["xyz"]).await;
    let (admin, staff) = (app.access_token("kim").await, app.access_token("gate").await);
    sent(&app, &staff, ALT, png(640, 400, 1)).await.refused(403, "auth.forbidden");
    sent(&app, "nobody", ALT, png(640, 400, 1)).await.refused(401, "auth.invalid_token");
    sent(&app, &admin, ALT, b"<svg onload='x'/>".to_vec()).await.refused(422, "picture.unreadable");
    sent(&app, &admin, ALT, png(300, 200, 1)).await.refused(422, "picture.out_of_bounds");
    sent(&app, &admin, ALT, vec![0; picture::BYTES_MAX + 1]).await.refused(413, "request.too_large");
    sent(&app, &admin, "?alt_ko=x", png(640, 400, 1)).await.refused(422, "request.invalid");
    sent(&app, &admin, &format!("?alt_en=x&alt_ko={}", "a".repeat(201)), png(640, 400, 1))
        .await
        .refused(422, "request.invalid");
    for path in ["/pictures/x.jpg", "/pictures/..%2f-640.jpg", &picture::path(&"a".repeat(32), 640)] {
        Browser::new(&app).get(path).await.expect(404, &[]);
    }
    assert_eq!(app.db.one::<i64>("select count(*) from pictures").await, 0);
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action <> 'user.sign_in'").await, 0);
    app.finish().await;
}
