//! The sample application's control port, for people with `curl` at hand:
//!
//! ```text
//! curl -X POST   http://127.0.0.1:PORT/faults/target/shop.example.com/status=503   break a host on one cluster
//! curl -X POST   http://127.0.0.1:PORT/faults/target/*/hang                        every host of a cluster
//! curl -X DELETE http://127.0.0.1:PORT/faults/target/shop.example.com              heal it
//! curl           http://127.0.0.1:PORT/faults                                      what is broken now
//! curl           http://127.0.0.1:PORT/requests                                    requests by cluster, host, status
//! ```

use std::fmt::Write as _;

use hyper::http::StatusCode;
use hyper::{Method, Response};
use tokio::net::TcpListener;

use super::Application;
use super::fault::FORMS;
use crate::http_server::{Body, Server, text};

const USAGE: &str = "expected POST /faults/<cluster>/<host>/<fault>, DELETE /faults/<cluster>/<host>, GET /faults or \
                     GET /requests; a host may be *";

impl Application {
    /// Serves the control port on `listener`: `POST /faults/<cluster>/<host>/<fault>` breaks, `DELETE
    /// /faults/<cluster>/<host>` heals, `GET /faults` and `GET /requests` show.
    pub fn serve_control(&self, listener: TcpListener) -> anyhow::Result<Server> {
        let application = self.clone();
        Server::start(listener, None, move |request| {
            let answer = control(&application, request.method(), request.uri().path());
            async move { Ok(answer) }
        })
    }
}

fn control(application: &Application, method: &Method, path: &str) -> Response<Body> {
    let parts: Vec<&str> = path.trim_matches('/').splitn(4, '/').collect();
    match (method, parts.as_slice()) {
        (&Method::POST, ["faults", cluster, host, fault]) => set(application, cluster, host, fault),
        (&Method::DELETE, ["faults", cluster, host]) => {
            application.heal(cluster, host);
            text(StatusCode::OK, format!("{host} on {cluster} is healed\n"))
        }
        (&Method::GET, ["faults"]) => text(StatusCode::OK, faults(application)),
        (&Method::GET, ["requests"]) => text(StatusCode::OK, requests(application)),
        _ => text(StatusCode::NOT_FOUND, format!("{method} {path} is unknown; {USAGE}; a fault: {FORMS}\n")),
    }
}

fn set(application: &Application, cluster: &str, host: &str, fault: &str) -> Response<Body> {
    match fault.parse() {
        Ok(fault) => {
            let answer = format!("{host} on {cluster}: {fault}\n");
            application.set(cluster, host, fault);
            text(StatusCode::OK, answer)
        }
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}

fn faults(application: &Application) -> String {
    let lines = application.faults().into_iter();
    lines.fold(String::new(), |mut all, (cluster, host, fault)| {
        let _ = writeln!(all, "{cluster} {host} {fault}"); // writing to a String cannot fail
        all
    })
}

fn requests(application: &Application) -> String {
    let lines = application.all_requests().into_iter();
    lines.fold(String::new(), |mut all, (cluster, host, requests)| {
        let _ = write!(all, "{cluster} {host}"); // as above
        for (status, count) in requests.by_status {
            let _ = write!(all, " {status}:{count}");
        }
        let _ = writeln!(all, " unanswered:{}", requests.unanswered);
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_app::Fault;

    fn call(application: &Application, method: &Method, path: &str) -> StatusCode {
        control(application, method, path).status()
    }

    #[test]
    fn a_fault_is_set_and_healed_by_path() {
        let application = Application::new();
        assert_eq!(call(&application, &Method::POST, "/faults/target/shop.example.com/status=503"), StatusCode::OK);
        assert_eq!(application.fault("target", "shop.example.com"), Fault::Status(503));
        assert_eq!(faults(&application), "target shop.example.com status=503\n");
        assert_eq!(call(&application, &Method::DELETE, "/faults/target/shop.example.com"), StatusCode::OK);
        assert_eq!(application.fault("target", "shop.example.com"), Fault::Healthy);
    }

    #[test]
    fn a_redirect_may_hold_slashes() {
        let application = Application::new();
        let path = "/faults/target/shop.example.com/redirect=https://example.com/login";
        assert_eq!(call(&application, &Method::POST, path), StatusCode::OK);
        let expected = Fault::Redirect("https://example.com/login".to_owned());
        assert_eq!(application.fault("target", "shop.example.com"), expected);
    }

    #[test]
    fn what_is_not_understood_changes_nothing_and_says_so() {
        let application = Application::new();
        assert_eq!(call(&application, &Method::POST, "/faults/target/shop/explode"), StatusCode::BAD_REQUEST);
        assert_eq!(call(&application, &Method::POST, "/faults/target"), StatusCode::NOT_FOUND);
        assert_eq!(call(&application, &Method::GET, "/"), StatusCode::NOT_FOUND);
        assert!(application.faults().is_empty());
    }
}
