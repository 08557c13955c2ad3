"use strict";
// Text from outside is inserted with textContent only.
(() => {
  const FORMAT = "wavcaps-validation-answers";
  const VERSION = 1;
  const ENDS = ["not what is heard at all", "exactly what is heard"];
  const OPTIONS = {
    A: "Nearly identical: both say the same",
    B: "Partial: one leaves out sounds or details that the other has",
    C: "Different: they say clearly different things",
  };
  const study = JSON.parse(document.getElementById("study").textContent);
  const byId = new Map(study.items.map((item) => [item.id, item]));
  const $ = (id) => document.getElementById(id);
  const state = { rater: "", order: [], at: 0, answers: {}, heard: new Set() };
  let audioAddress = null;
  let kept = true;
  let unsaved = false;

  // ---- Random numbers, the same for the same rater (FNV-1a for the seed, mulberry32 for the numbers) ----
  function chance(seed) {
    let hash = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(seed)) hash = Math.imul(hash ^ byte, 0x01000193);
    return () => {
      hash = (hash + 0x6d2b79f5) | 0;
      let mixed = Math.imul(hash ^ (hash >>> 15), 1 | hash);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffled(values, seed) {
    const random = chance(seed);
    const result = [...values];
    for (let last = result.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [result[last], result[other]] = [result[other], result[last]];
    }
    return result;
  }

  function tidy(name) {
    return name.normalize("NFC").replace(/\s+/g, " ").trim();
  }

  const keyOf = (rater) => `wavcaps-validation/${study.id}/${rater.toLowerCase()}`;
  const seedOf = (more) => JSON.stringify([study.id, state.rater.toLowerCase(), more]);
  const captionsOf = (item) => shuffled(item.captions, seedOf(item.id));

  // ---- Answers ----
  const answerOf = (item) => state.answers[item.id] || { ratings: {}, option: null };

  function isComplete(item) {
    const answer = answerOf(item);
    const rated = item.captions.every((caption) => answer.ratings[caption.id]);
    return rated && (!study.compares || Boolean(answer.option));
  }

  const done = () => study.items.filter(isComplete).length;

  function change(item, edit) {
    const answer = structuredClone(answerOf(item));
    edit(answer);
    answer.at = new Date().toISOString();
    state.answers[item.id] = answer;
    unsaved = true;
    keep();
    showQuestions();
    showProgress();
  }

  function keep() {
    try {
      localStorage.setItem(keyOf(state.rater), JSON.stringify(state.answers));
      kept = true;
    } catch {
      kept = false;
      complain("This browser cannot store your answers: save them before you close this page.");
    }
  }

  function remembered() {
    try {
      return usable(JSON.parse(localStorage.getItem(keyOf(state.rater)) || "{}"));
    } catch {
      return {};
    }
  }

  // The loaded answers that are valid for this study.
  function usable(answers) {
    const good = {};
    for (const item of study.items) {
      const given = answers !== null && Object.hasOwn(answers, item.id) ? answers[item.id] : null;
      if (!given || typeof given !== "object") continue;
      const ratings = {};
      for (const { id } of item.captions) {
        const score = given.ratings && given.ratings[id];
        if (Number.isInteger(score) && score >= 1 && score <= 5) ratings[id] = score;
      }
      const option = study.compares && Object.hasOwn(OPTIONS, given.option) ? given.option : null;
      const at = Number.isNaN(Date.parse(given.at)) ? new Date(0).toISOString() : String(given.at);
      if (Object.keys(ratings).length || option) good[item.id] = { ratings, option, at };
    }
    return good;
  }

  function merge(others) {
    for (const [id, answer] of Object.entries(others)) {
      const own = state.answers[id];
      if (!own || own.at < answer.at) state.answers[id] = answer;
    }
  }

  function answersFile() {
    const answers = state.order.map((id, place) => ({ item: id, place: place + 1, ...state.answers[id] }));
    return {
      format: FORMAT,
      version: VERSION,
      study: study.id,
      rater: state.rater,
      saved_at: new Date().toISOString(),
      answers: answers.filter((answer) => answer.at),
    };
  }

  function save() {
    const text = JSON.stringify(answersFile(), null, 1);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const name = state.rater.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40) || "rater";
    link.download = `answers-${study.id}-${name}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    unsaved = false;
    $("saved").textContent = `Saved as ${link.download}, in your folder of downloads. Send it back as it is.`;
  }

  async function load(file) {
    try {
      const saved = JSON.parse(await file.text());
      if (!saved || saved.format !== FORMAT || saved.version !== VERSION || typeof saved.rater !== "string" || !Array.isArray(saved.answers))
        throw new Error("it is not a file of answers");
      if (saved.study !== study.id) throw new Error("it belongs to another study");
      const found = usable(Object.fromEntries(saved.answers.map((answer) => [answer && answer.item, answer])));
      begin(saved.rater, found);
    } catch (error) {
      complain(`${file.name} cannot be used: ${error.message}.`);
    }
  }

  // ---- What is shown ----
  function complain(text) {
    $("problem").textContent = text;
    $("problem").hidden = !text;
  }

  function only(section) {
    for (const name of ["start", "rate", "done"]) $(name).hidden = name !== section;
    $("player").pause();
  }

  function begin(name, found = {}) {
    const rater = tidy(name);
    if (!rater) return complain("Enter a name first.");
    state.rater = rater;
    state.order = shuffled(study.items.map((item) => item.id), seedOf("order"));
    state.answers = remembered();
    complain("");
    merge(found);
    keep();
    for (const id of Object.keys(state.answers)) state.heard.add(id);
    const open = state.order.findIndex((id) => !isComplete(byId.get(id)));
    if (open < 0) return finish();
    show(open);
  }

  function show(place) {
    state.at = place;
    only("rate");
    $("item-title").textContent = `Clip ${place + 1} of ${state.order.length}`;
    const player = $("player");
    if (audioAddress) URL.revokeObjectURL(audioAddress);
    const coded = atob($(`audio-${state.order[place]}`).textContent);
    const bytes = Uint8Array.from(coded, (character) => character.charCodeAt(0));
    audioAddress = URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));
    player.src = audioAddress;
    $("previous").disabled = place === 0;
    $("next").disabled = place === state.order.length - 1;
    showQuestions();
    showProgress();
    $("item-title").focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function choice(group, value, text, label, checked, onchange) {
    const input = element("input", { type: "radio", name: group, value, checked, onchange });
    if (label) input.setAttribute("aria-label", label);
    return element("label", { className: "choice" }, input, element("span", { textContent: text }));
  }

  function showQuestions() {
    const item = byId.get(state.order[state.at]);
    const answer = answerOf(item);
    const captions = captionsOf(item);
    const heard = state.heard.has(item.id);
    const focused = document.activeElement;
    const again = focused && focused.type === "radio" ? `${focused.name}|${focused.value}` : null;
    $("listen").hidden = heard;
    for (const [index, name] of ["first", "second"].entries()) {
      const box = $(name);
      const caption = captions[index];
      // The second caption is hidden until the first one is rated.
      box.hidden = !caption || (index > 0 && !answer.ratings[captions[0].id]);
      box.replaceChildren();
      if (box.hidden) continue;
      const label = captions.length > 1 ? `Caption ${"XY"[index]}` : "Caption";
      const scale = element("div", { className: "scale" });
      for (let score = 1; score <= 5; score++) {
        const spoken = `${score}${score === 1 ? `, ${ENDS[0]}` : score === 5 ? `, ${ENDS[1]}` : ""}`;
        const checked = answer.ratings[caption.id] === score;
        scale.append(choice(name, String(score), String(score), spoken, checked, () => rate(item, caption, score)));
      }
      const ends = element("p", { className: "ends" });
      ends.setAttribute("aria-hidden", "true");
      ends.append(...ENDS.map((text, end) => element("span", { textContent: `${end ? 5 : 1}: ${text}` })));
      const text = element("p", { className: "caption", dir: "auto", textContent: caption.text });
      box.append(element("legend", { textContent: `${label}: how well does it describe the clip?` }), text, scale, ends);
      box.disabled = !heard;
    }
    const comparison = $("comparison");
    comparison.hidden = !study.compares || !captions.every((caption) => answer.ratings[caption.id]);
    comparison.replaceChildren(element("legend", { textContent: "How do the two captions compare in content?" }));
    const options = element("div", { className: "options" });
    for (const [name, text] of Object.entries(OPTIONS))
      options.append(choice("comparison", name, `(${name}) ${text}`, "", answer.option === name, () => compare(item, name)));
    comparison.append(options);
    const current = unrated(item);
    $("first").classList.toggle("current", current === captions[0]);
    $("second").classList.toggle("current", captions.length > 1 && current === captions[1]);
    if (again) {
      const [group, value] = again.split("|");
      const input = document.querySelector(`input[name="${group}"][value="${value}"]`);
      if (input) input.focus({ preventScroll: true });
    }
  }

  // The caption that a number key rates: the first without a rating, else the last one.
  function unrated(item) {
    const captions = captionsOf(item);
    const { ratings } = answerOf(item);
    return captions.find((caption) => !ratings[caption.id]) || captions[captions.length - 1];
  }

  const rate = (item, caption, score) => change(item, (answer) => { answer.ratings[caption.id] = score; });
  const compare = (item, option) => change(item, (answer) => { answer.option = option; });

  function showProgress() {
    $("progress").textContent = `${done()} of ${study.items.length} clips answered`;
  }

  function nextOpen() {
    const count = state.order.length;
    for (let step = 1; step <= count; step++) {
      const place = (state.at + step) % count;
      if (!isComplete(byId.get(state.order[place]))) return show(place);
    }
    finish();
  }

  function finish() {
    only("done");
    const open = study.items.length - done();
    $("summary").textContent = open
      ? `${open} of ${study.items.length} clips are not fully answered. You can save now and continue later.`
      : `All ${study.items.length} clips are answered. Thank you.`;
    $("saved").textContent = "";
    showProgress();
    $("done-title").focus();
  }

  // ---- What the rater does ----
  $("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    begin($("rater").value);
  });
  $("resume").addEventListener("change", (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) load(file);
  });
  $("player").addEventListener("play", () => {
    state.heard.add(state.order[state.at]);
    showQuestions();
  });
  $("player").addEventListener("error", () =>
    complain("This clip cannot be played here: skip it, and continue with the next."));
  $("player").addEventListener("loadeddata", () => complain(kept ? "" : $("problem").textContent));
  $("previous").addEventListener("click", () => show(state.at - 1));
  $("next").addEventListener("click", () => show(state.at + 1));
  $("open").addEventListener("click", nextOpen);
  $("finish").addEventListener("click", finish);
  $("save").addEventListener("click", save);
  $("back").addEventListener("click", () => show(state.at));
  addEventListener("beforeunload", (event) => {
    if (!kept && unsaved) event.preventDefault();
  });
  addEventListener("keydown", (event) => {
    if ($("rate").hidden || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const on = event.target;
    const player = $("player");
    const item = byId.get(state.order[state.at]);
    const key = event.key.toLowerCase();
    if (key === " ") {
      // Space keeps its own meaning on controls that use it.
      if (on.matches("button, summary, audio") || (on.matches("input") && !on.checked)) return;
      event.preventDefault();
      player.paused ? player.play() : player.pause();
    } else if (/^[1-5]$/.test(key)) {
      const ours = on.matches("input[type=radio]") && captionsOf(item)[["first", "second"].indexOf(on.name)];
      if (state.heard.has(item.id)) rate(item, ours || unrated(item), Number(key));
    } else if (Object.hasOwn(OPTIONS, key.toUpperCase())) {
      if (!$("comparison").hidden) compare(item, key.toUpperCase());
    } else if (key === "n" && !$("next").disabled) show(state.at + 1);
    else if (key === "p" && !$("previous").disabled) show(state.at - 1);
  });

  $("task").textContent = study.compares
    ? `You will hear ${study.items.length} clips. For each, say how well a caption describes it, then a second caption, and how the two compare. Captions X and Y are in no particular order.`
    : `You will hear ${study.items.length} clips. For each, say how well its caption describes it.`;
  for (const row of document.querySelectorAll(".compares")) row.hidden = !study.compares;
  $("credits").append(...study.credits.map((text) => element("li", { textContent: text, dir: "auto" })));
  only("start");
})();
