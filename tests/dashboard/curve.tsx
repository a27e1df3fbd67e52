// Draws a curve of 10,000 points anew in each frame, and counts the frames of a few seconds.
import { render } from "preact";
import { Chart } from "../../app/dashboard/src/ui/chart";

const POINTS = 10_000;
const DURATION_MS = 3000;
const steps = Array.from({ length: POINTS }, (_, index) => index);

function curve(frame: number) {
  const values = steps.map((step) => Math.sin((step + 20 * frame) / 500) + 0.1 * Math.random());
  return [{ label: "loss", steps, values }];
}

async function measure(): Promise<{ frames: number; seconds: number }> {
  const root = document.body.appendChild(document.createElement("div"));
  const began = performance.now();
  let frames = 0;
  while (performance.now() - began < DURATION_MS) {
    await new Promise(requestAnimationFrame);
    render(<Chart title="Losses" curves={curve(frames)} />, root);
    frames += 1;
  }
  return { frames, seconds: (performance.now() - began) / 1000 };
}

Object.assign(window, { measure });
