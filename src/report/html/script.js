"use strict";
(() => {
  const tip = document.getElementById("tip");
  const format = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
  // The point of a curve that is nearest to x, or none when the curve has ended.
  const nearest = (series, x, slack) => {
    let best = -1;
    series.x.forEach((value, index) => {
      if (best < 0 || Math.abs(value - x) < Math.abs(series.x[best] - x)) best = index;
    });
    return best >= 0 && Math.abs(series.x[best] - x) <= slack ? best : -1;
  };
  const row = (parent, text, colour) => {
    const line = document.createElement("div");
    if (colour !== undefined) {
      const swatch = document.createElement("i");
      swatch.className = "swatch s" + colour;
      line.append(swatch);
    }
    line.append(text);
    parent.append(line);
  };
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    for (const svg of figure.querySelectorAll("svg")) {
      const place = svg.dataset;
      const left = Number(place.left), right = Number(place.right), end = Number(place.x);
      const cursor = svg.querySelector(".cursor");
      const hide = () => { tip.hidden = true; cursor.style.display = "none"; };
      svg.addEventListener("pointerleave", hide);
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const at = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
        if (at < left || at > right) return hide();
        const x = (at - left) / (right - left) * end;
        tip.replaceChildren();
        row(tip, data.x + ": " + format.format(x));
        for (const series of data.series) {
          const index = nearest(series, x, end * 0.03);
          if (index >= 0) row(tip, series.name + ": " + format.format(series.y[index]) + " " + data.unit, series.colour);
        }
        cursor.style.display = "inline";
        cursor.setAttribute("x1", at);
        cursor.setAttribute("x2", at);
        tip.hidden = false;
        const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
        tip.style.left = Math.max(8, Math.min(event.clientX + 14, room)) + "px";
        tip.style.top = Math.max(8, event.clientY - tip.offsetHeight - 14) + "px";
      });
    }
  }
  // Paper shows what is folded.
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not(.numbers)")) details.open = true;
  });
})();
