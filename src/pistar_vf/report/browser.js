"use strict";
// The browser of episodes: videos, curves and the reason of every label under one frame number.
(() => {
  const holder = document.getElementById("episodes");
  const episodes = holder ? JSON.parse(holder.textContent) : [];
  if (!episodes.length) return;

  const at = (id) => document.getElementById(id);
  const canvas = at("curves"), slider = at("frame"), choice = at("episode");
  const LEFT = 46, RIGHT = 8;  // the slider's margins in page.css, half a thumb further out
  const WORD_COLOURS = { positive: "--good", negative: "--bad", none: "--quiet" };
  let episode = episodes[0], frame = 0, timer = null, addresses = [];

  // --- what is drawn -----------------------------------------------------------------------------------------

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shown = (number, signed) =>
    number === null || number === undefined ? "unknown" : (signed && number > 0 ? "+" : "") + number.toFixed(4);

  /** Rectangles of the panels that this episode has, top to bottom. */
  function panels(width, height) {
    const inner = { left: LEFT, width: Math.max(10, width - LEFT - RIGHT) };
    const bars = episode.labels ? 18 : 0;
    const lower = episode.labels && episode.labels.advantage.some((a) => a !== null) ? 110 : 0;
    const upper = height - 24 - bars - (lower && lower + 22) - (bars && 8);
    const value = { ...inner, top: 20, height: upper - 20 };
    const advantage = lower ? { ...inner, top: upper + 22, height: lower } : null;
    const words = bars ? { ...inner, top: height - 18 - bars, height: bars } : null;
    return { value, advantage, words };
  }

  const across = (panel, number) => panel.left + ((number + 0.5) / episode.length) * panel.width;
  const down = (panel, value, [low, high]) =>
    panel.top + (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low)) * panel.height;

  function drawCurve(pen, panel, values, range, style, dashed) {
    if (!values) return;
    pen.strokeStyle = style;
    pen.lineWidth = 2;
    pen.setLineDash(dashed ? [5, 4] : []);
    pen.beginPath();
    let before = false;
    values.forEach((value, number) => {
      if (value === null) { before = false; return; }
      pen[before ? "lineTo" : "moveTo"](across(panel, number), down(panel, value, range));
      before = true;
    });
    pen.stroke();
    pen.setLineDash([]);
  }

  function drawAxis(pen, panel, range, name, ticks) {
    pen.font = "12px system-ui, sans-serif";
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of ticks) {
      const y = down(panel, tick, range);
      pen.beginPath();
      pen.moveTo(panel.left, y);
      pen.lineTo(panel.left + panel.width, y);
      pen.stroke();
      pen.fillStyle = colour("--quiet");
      pen.fillText(Number(tick.toPrecision(2)), panel.left - 5, y);
    }
    pen.textAlign = "left";
    pen.textBaseline = "bottom";
    pen.fillStyle = colour("--ink");
    pen.fillText(name, panel.left, panel.top - 3);
  }

  function drawStrip(pen, panel) {
    if (!episode.strip) return;
    const cells = Uint8Array.from(atob(episode.strip), (letter) => letter.charCodeAt(0));
    const picture = document.createElement("canvas");
    picture.width = episode.length;
    picture.height = episode.cells;
    const inner = picture.getContext("2d"), image = inner.createImageData(episode.length, episode.cells);
    const [red, green, blue] = rgb(colour("--accent"));
    for (let t = 0; t < episode.length; t++) {
      for (let cell = 0; cell < episode.cells; cell++) {
        const place = 4 * ((episode.cells - 1 - cell) * episode.length + t);
        image.data.set([red, green, blue, 0.6 * cells[t * episode.cells + cell]], place);
      }
    }
    inner.putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture, panel.left, panel.top, panel.width, panel.height);
  }

  const rgb = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));

  /** A coloured bar for every stretch of frames with the same colour; null leaves a gap. */
  function drawStretches(pen, panel, colourOf) {
    let first = 0;
    for (let t = 1; t <= episode.length; t++) {
      if (t < episode.length && colourOf(t) === colourOf(first)) continue;
      const style = colourOf(first);
      if (style) {
        pen.fillStyle = style;
        const left = panel.left + (first / episode.length) * panel.width;
        pen.fillRect(left, panel.top, ((t - first) / episode.length) * panel.width, panel.height);
      }
      first = t;
    }
  }

  function draw() {
    const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const { value, advantage, words } = panels(width, height);
    const operator = colour("--operator");
    drawStrip(pen, value);
    pen.globalAlpha = 0.25;
    drawStretches(pen, value, (t) => (episode.intervention[t] ? operator : null));
    pen.globalAlpha = 1;
    const [low, high] = episode.range;
    drawAxis(pen, value, episode.range, "V", [low, (low + high) / 2, high]);
    drawCurve(pen, value, episode.target, episode.range, colour("--quiet"), true);
    drawCurve(pen, value, episode.value, episode.range, colour("--accent"), false);
    if (advantage) drawAdvantage(pen, advantage);
    if (words) {
      const styles = episode.labels.words.map((word) => colour(WORD_COLOURS[word]));
      drawStretches(pen, words, (t) => styles[episode.labels.word[t]]);
    }
    const bottom = words || advantage || value;
    drawFrames(pen, bottom);
    const x = across(value, frame);
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(x, value.top);
    pen.lineTo(x, bottom.top + bottom.height);
    pen.stroke();
  }

  function drawAdvantage(pen, panel) {
    const { advantage, threshold } = episode.labels;
    const all = advantage.concat(threshold || [], 0).filter((number) => number !== null);
    const low = Math.min(...all), high = Math.max(...all), room = 0.08 * (high - low) || 0.01;
    const range = [low - room, high + room];
    drawAxis(pen, panel, range, "advantage", [0]);
    drawCurve(pen, panel, threshold, range, colour("--good"), true);
    drawCurve(pen, panel, advantage, range, colour("--c4"), false);
  }

  function drawFrames(pen, panel) {
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = colour("--quiet");
    pen.textBaseline = "top";
    const last = episode.length - 1, y = panel.top + panel.height + 3;
    pen.textAlign = "left";
    pen.fillText("frame 0", panel.left, y);
    pen.textAlign = "right";
    pen.fillText(String(last), panel.left + panel.width, y);
  }

  // --- what is said ------------------------------------------------------------------------------------------

  function element(kind, text, name) {
    const made = document.createElement(kind);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function describe() {
    const { labels } = episode, box = at("why"), rows = [];
    box.replaceChildren();
    rows.push(["frame", `${frame} of ${episode.length}, ${(frame / episode.fps).toFixed(2)} s`]);
    if (episode.value) rows.push(["V now", shown(episode.value[frame])]);
    if (episode.target) rows.push(["turned out to be worth", shown(episode.target[frame])]);
    if (labels && labels.then && labels.advantage[frame] !== null) {
      const then = labels.then[frame], past = then >= episode.length;
      const reward = labels.advantage[frame] + episode.value[frame] - labels.valueThen[frame];
      rows.push([past ? "V past the end" : `V then, frame ${then}`, shown(labels.valueThen[frame])]);
      rows.push(["reward until then", shown(reward, true)]);
    }
    if (labels && labels.advantage[frame] !== null) {
      const sum = labels.then ? " = reward + V then − V now" : "";
      rows.push(["advantage", shown(labels.advantage[frame], true) + sum]);
      if (labels.threshold) rows.push(["threshold", shown(labels.threshold[frame], true)]);
    }
    if (episode.intervention[frame]) rows.push(["operator", "drives"]);
    if (labels) {
      const word = labels.words[labels.word[frame]], line = element("p", "Why this frame is ");
      line.append(element("b", word, { positive: "good", negative: "bad", none: "quiet" }[word]));
      line.append(`: ${labels.reasons[labels.reason[frame]]}`);
      box.append(line);
    }
    const list = element("dl");
    for (const [name, text] of rows) list.append(element("dt", name), element("dd", text));
    box.append(list);
  }

  function legend() {
    const rows = [];
    if (episode.value) rows.push(["V", "c0", ""]);
    if (episode.strip) rows.push(["the darker, the more probable", "c0", ""]);
    if (episode.target) rows.push(["what it turned out to be worth", "quiet", "dashed"]);
    if (episode.intervention.some(Boolean)) rows.push(["operator drives", "operator", ""]);
    if (episode.labels) {
      if (episode.labels.advantage.some((a) => a !== null)) rows.push(["advantage", "c4", ""]);
      if (episode.labels.threshold) rows.push(["threshold", "good", "dashed"]);
      rows.push(["positive", "good", ""], ["negative", "bad", ""], ["none", "quiet", ""]);
    }
    at("legend").replaceChildren(...rows.map(([text, kind, how]) => {
      const item = element("li"), line = element("i", "", `${kind} ${how}`);
      item.append(line, text);
      return item;
    }));
  }

  // --- what is played ----------------------------------------------------------------------------------------

  function openVideos() {
    addresses.forEach((address) => URL.revokeObjectURL(address));
    addresses = [];
    at("videos").replaceChildren(...episode.cameras.map((camera, number) => {
      const bytes = Uint8Array.from(atob(at(`clip-${episode.index}-${number}`).textContent), (c) => c.charCodeAt(0));
      const address = URL.createObjectURL(new Blob([bytes], { type: camera.type }));
      addresses.push(address);
      const video = element("video"), figure = element("figure"), name = element("figcaption", camera.name);
      Object.assign(video, { muted: true, playsInline: true, preload: "auto", src: address });
      video.addEventListener("seeked", () => seek(video));
      video.addEventListener("loadedmetadata", () => seek(video));
      video.addEventListener("error", () => { name.textContent = `${camera.name}: this browser does not play ${camera.type}`; });
      figure.append(video, name);
      return figure;
    }));
  }

  /** Shows the frame; a seek that is under way is not disturbed, its end asks for the newest frame. */
  function seek(video) {
    const wanted = (frame + 0.5) / episode.fps;
    if (!video.seeking && video.readyState > 0 && Math.abs(video.currentTime - wanted) > 0.25 / episode.fps) {
      video.currentTime = wanted;
    }
  }

  function show(number) {
    frame = Math.min(episode.length - 1, Math.max(0, Math.round(number)));
    slider.value = frame;
    slider.setAttribute("aria-valuetext", `frame ${frame}`);
    at("time").textContent = `frame ${frame} / ${episode.length - 1}`;
    document.querySelectorAll("#videos video").forEach(seek);
    draw();
    describe();
  }

  function open(number) {
    stop();
    episode = episodes[(number + episodes.length) % episodes.length];
    choice.value = episode.index;
    slider.max = episode.length - 1;
    const off = episode.disagreement === null ? "" : `, V is off by ${episode.disagreement.toFixed(3)} on average`;
    at("about").textContent =
      `“${episode.prompt}”: ${episode.outcome}${off}${episode.note ? ` (${episode.note})` : ""}`;
    at("worst").hidden = !(episode.value && episode.target);
    openVideos();
    legend();
    show(0);
  }

  const position = () => episodes.indexOf(episode);

  function worst() {
    const off = episode.value.map((value, t) =>
      value === null || episode.target[t] === null ? -1 : Math.abs(value - episode.target[t]));
    show(off.indexOf(Math.max(...off)));
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    at("play").textContent = "play";
  }

  function play() {
    if (timer) return stop();
    if (frame === episode.length - 1) show(0);
    at("play").textContent = "pause";
    const began = performance.now(), first = frame;
    timer = setInterval(() => {
      show(first + ((performance.now() - began) / 1000) * episode.fps);
      if (frame === episode.length - 1) stop();
    }, Math.max(33, 1000 / episode.fps));
  }

  // --- what is done ------------------------------------------------------------------------------------------

  function openFromAddress() {
    const found = episodes.findIndex((one) => `#episode-${one.index}` === location.hash);
    if (found < 0) return false;
    open(found);
    at("browser").scrollIntoView();
    return true;
  }

  for (const one of episodes) {
    const off = one.disagreement === null ? "" : `, off by ${one.disagreement.toFixed(3)}`;
    const option = element("option", `episode ${one.index}: ${one.outcome}${off}`);
    option.value = one.index;
    choice.append(option);
  }
  choice.addEventListener("change", () => open(choice.selectedIndex));
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  at("previous").addEventListener("click", () => open(position() - 1));
  at("next").addEventListener("click", () => open(position() + 1));
  at("play").addEventListener("click", play);
  at("worst").addEventListener("click", () => { stop(); worst(); });
  const pointed = (event) => {
    const box = canvas.getBoundingClientRect();
    const part = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    stop();
    show(part * episode.length - 0.5);
  };
  canvas.addEventListener("pointerdown", pointed);
  canvas.addEventListener("pointermove", (event) => { if (event.buttons) pointed(event); });
  const KEYS = {
    ArrowLeft: (step) => show(frame - step), ArrowRight: (step) => show(frame + step),
    Home: () => show(0), End: () => show(episode.length - 1),
    n: () => open(position() + 1), p: () => open(position() - 1),
    " ": play, w: () => { if (!at("worst").hidden) worst(); },
  };
  document.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    const busy = event.target.closest("select, textarea, button, summary") && [" ", "Home", "End"].includes(event.key);
    if (!act || busy || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.key !== " ") stop();
    act(event.shiftKey ? 10 : 1);
  });
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.addEventListener("hashchange", openFromAddress);
  if (!openFromAddress()) open(0);
})();
