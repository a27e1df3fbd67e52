// Entry point: the login page without a key, otherwise the page of the address.
import { render } from "preact";
import { AugmentPage } from "./pages/augment";
import { ComparePage } from "./pages/compare";
import { DatasetPage } from "./pages/dataset";
import { DatasetsPage } from "./pages/datasets";
import { JobPage } from "./pages/job";
import { JobsPage } from "./pages/jobs";
import { LoginPage } from "./pages/login";
import { ModelPage } from "./pages/model";
import { ModelsPage } from "./pages/models";
import { OverviewPage } from "./pages/overview";
import { PlaygroundPage } from "./pages/playground";
import { SettingsPage } from "./pages/settings";
import { TrainPage } from "./pages/train";
import { UploadPage } from "./pages/upload";
import { route } from "./router";
import { apiKey } from "./session";
import { Frame } from "./ui/frame";
import { Empty } from "./ui/parts";

function App() {
  if (!apiKey.value) return <LoginPage />;
  return <Frame><Page /></Frame>;
}

function Page() {
  const [section = "", id, part] = route.value.segments;
  switch (section) {
    case "":
    case "login":
      return <OverviewPage />;
    case "datasets":
      if (!id) return <DatasetsPage />;
      if (id === "new") return <UploadPage />;
      if (part === "augment") return <AugmentPage key={id} id={id} />;
      return part === "train" ? <TrainPage key={id} id={id} /> : <DatasetPage key={id} id={id} />;
    case "jobs":
      return id ? <JobPage key={id} id={id} /> : <JobsPage />;
    case "models":
      if (!id) return <ModelsPage />;
      return part === "playground" ? <PlaygroundPage key={id} reference={id} /> : <ModelPage key={id} reference={id} />;
    case "compare":
      return <ComparePage />;
    case "settings":
      return <SettingsPage />;
    default:
      return (
        <>
          <header><h1>Not found</h1></header>
          <Empty title="This page does not exist"><a href="#/">Overview</a></Empty>
        </>
      );
  }
}

render(<App />, document.getElementById("app")!);
