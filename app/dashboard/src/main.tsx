// Entry point: the login page without a key, otherwise the page of the address.
import { render } from "preact";
import { LoginPage } from "./pages/login";
import { OverviewPage } from "./pages/overview";
import { route } from "./router";
import { apiKey } from "./session";
import { Frame } from "./ui/frame";
import { Empty } from "./ui/parts";

function App() {
  if (!apiKey.value) return <LoginPage />;
  return <Frame><Page /></Frame>;
}

function Page() {
  const [section = ""] = route.value.segments;
  switch (section) {
    case "":
    case "login":
      return <OverviewPage />;
    default:
      return <Empty title="This page does not exist"><a href="#/">Overview</a></Empty>;
  }
}

render(<App />, document.getElementById("app")!);
