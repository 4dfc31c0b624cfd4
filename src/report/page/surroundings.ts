/** Where the page is shown: on a light, a dark or a paper ground, alone or by a run that goes on. */
import { createContext, options } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";

export interface Surroundings {
  isDark: boolean;
  /** Whether the page is on its way to paper: everything is open. */
  isPrinting: boolean;
  /** Whether a run serves it. */
  isLive: boolean;
  /** Whether that run has ended: nobody answers any more. */
  isOver: boolean;
}

const Context = createContext<Surroundings>({
  isDark: false,
  isPrinting: false,
  isLive: false,
  isOver: false,
});
export const SurroundingsProvider = Context.Provider;

export function useSurroundings(): Surroundings {
  return useContext(Context);
}

/** Follows the colour scheme, and printing. */
export function useFollowedSurroundings(isLive: boolean, isOver: boolean): Surroundings {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const [isDark, setDark] = useState(scheme.matches);
  const [isPrinting, setPrinting] = useState(false);
  useEffect(() => {
    // What is printed is what is there when this returns: it is drawn at once.
    const print = (isPrinting: boolean) => () => {
      const later = options.debounceRendering;
      options.debounceRendering = (draw) => draw();
      setPrinting(isPrinting);
      if (later) options.debounceRendering = later;
      else delete options.debounceRendering;
    };
    const handlers: [EventTarget, string, () => void][] = [
      [scheme, "change", () => setDark(scheme.matches)],
      [window, "beforeprint", print(true)],
      [window, "afterprint", print(false)],
    ];
    for (const [target, name, handler] of handlers) target.addEventListener(name, handler);
    return () => {
      for (const [target, name, handler] of handlers) target.removeEventListener(name, handler);
    };
  }, []);
  return { isDark: isDark && !isPrinting, isPrinting, isLive, isOver };
}
