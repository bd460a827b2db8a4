//! A visitor's browser without a window: pages as they come, and the cookies that go with them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};

use super::TestApp;
use super::visitor::Held;

pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    /// What is no text (a PDF) is here as far as it is one.
    pub body: String,
}

impl Page {
    pub async fn of(request: reqwest::RequestBuilder) -> Page {
        let reply = request.header("accept", "text/html").send().await.unwrap();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        let body = String::from_utf8_lossy(&reply.bytes().await.unwrap()).into_owned();
        Page { status, headers, body }
    }

    #[track_caller]
    pub fn expect(self, status: u16, all: &[&str]) -> Page {
        assert_eq!(self.status, status, "{}", self.body);
        for words in all {
            assert!(self.body.contains(words), "no '{words}' in {}", self.body);
        }
        self
    }

    #[track_caller]
    pub fn without(self, words: &str) -> Page {
        assert!(!self.body.contains(words), "'{words}' in {}", self.body);
        self
    }

    /// Where it leads.
    #[track_caller]
    pub fn next(&self) -> String {
        assert_eq!(self.status, 303, "{}", self.body);
        self.header(LOCATION.as_str()).to_owned()
    }

    #[track_caller]
    pub fn leads_to(&self, path: &str) {
        assert_eq!((self.status, self.header(LOCATION.as_str())), (303, path), "{}", self.body);
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The value of a hidden field.
    #[track_caller]
    pub fn hidden(&self, name: &str) -> String {
        let after = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("no {name}"));
        after.split('"').next().unwrap().to_owned()
    }
}

/// A form as a browser sends it.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("http://form").unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// A browser: it keeps cookies, sends them where they belong, and follows nothing by itself.
pub struct Browser<'a> {
    app: &'a TestApp,
    /// Name to path and value.
    pub jar: Mutex<BTreeMap<String, (String, String)>>,
}

impl<'a> Browser<'a> {
    pub fn new(app: &'a TestApp) -> Browser<'a> {
        Browser { app, jar: Mutex::default() }
    }

    /// With the cookie of an order.
    pub fn of(app: &'a TestApp, order: &Held) -> Browser<'a> {
        let browser = Browser::new(app);
        browser.put(&format!("admit_{}", order.number.to_lowercase()), &order.token);
        browser
    }

    pub fn put(&self, name: &str, value: &str) {
        self.jar.lock().unwrap().insert(name.to_owned(), ("/".to_owned(), value.to_owned()));
    }

    pub fn has(&self, name: &str) -> bool {
        self.jar.lock().unwrap().contains_key(name)
    }

    /// Those that go to this path.
    pub fn cookies(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap();
        let jar = self.jar.lock().unwrap();
        let here = jar.iter().filter(|(_, (at, _))| path.starts_with(at.as_str()));
        here.map(|(name, (_, value))| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub async fn ask(&self, method: reqwest::Method, path: &str, form: Option<&[(&str, &str)]>) -> Page {
        let mut request = self
            .app
            .http
            .request(method, self.app.url(path))
            .header("sec-fetch-site", "same-origin")
            .header("cookie", self.cookies(path));
        if let Some(fields) = form {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(encoded(fields));
        }
        let page = Page::of(request).await;
        for cookie in page.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let path = cookie.split("Path=").nth(1).unwrap().split(';').next().unwrap();
            let mut jar = self.jar.lock().unwrap();
            if cookie.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), (path.to_owned(), value.to_owned()));
            }
        }
        page
    }

    pub async fn get(&self, path: &str) -> Page {
        self.ask(reqwest::Method::GET, path, None).await
    }

    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.ask(reqwest::Method::POST, path, Some(fields)).await
    }

    pub async fn press(&self, path: &str) -> Page {
        self.ask(reqwest::Method::POST, path, Some(&[])).await
    }
}

/// What an order needs beside its own fields.
pub const AGREED: [(&str, &str); 4] = [
    ("agree_terms", "on"),
    ("agree_privacy", "on"),
    ("over_14", "on"),
    ("legal_version", admit::orders::consent::VERSION),
];
