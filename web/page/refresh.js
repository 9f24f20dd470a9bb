"use strict";
// The page is complete without this; it only saves the reload, which would lose
// where one has scrolled to.
(() => {
  const root = document.documentElement;
  root.dataset.live = "yes";
  const lost = document.getElementById("lost");
  const chosen = () => { const s = getSelection(); return s && !s.isCollapsed; };
  const look = async () => {
    if (document.hidden || chosen()) return;
    try {
      const answer = await fetch("/", { signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.status);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of ["header", "main"]) document.querySelector(part).replaceWith(document.adoptNode(next.querySelector(part)));
      lost.hidden = true;
      root.dataset.looks = Number(root.dataset.looks || 0) + 1;
    } catch {
      lost.hidden = false;
    }
  };
  const again = () => look().finally(() => setTimeout(again, 2000));
  setTimeout(again, 2000);
})();
