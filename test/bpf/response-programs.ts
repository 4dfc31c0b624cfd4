/** The programs for a test file about responses: loaded once, alive and without records before each test. */
import { afterAll, beforeAll, beforeEach } from "bun:test";
import { loadForTest, type TestCapture } from "./capture.ts";

/** To be called at the top of the file. `port`: the local port of the flows that are ours, on both paths. */
export function useResponsePrograms(port: number): { readonly capture: TestCapture } {
  let capture: TestCapture;
  beforeAll(() => {
    capture = loadForTest();
    capture.flows.add(0, port);
    capture.flows.add(1, port);
  });
  afterAll(() => {
    capture?.kernel.detach();
  });
  beforeEach(() => {
    capture.beat();
    capture.takeResponses();
    capture.counted();
  });
  return {
    get capture() {
      return capture;
    },
  };
}
