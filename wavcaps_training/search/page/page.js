"use strict";

const token = document.body.dataset.token;
const problem = document.getElementById("problem");
const status = document.getElementById("status");

function showProblem(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

// One clip plays at a time.
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) {
    if (other !== event.target) other.pause();
  }
}, true);

document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLAudioElement) showProblem("This clip cannot be played: its audio is missing, or the server has stopped.");
}, true);

for (const form of document.querySelectorAll("form.rate")) {
  const buttons = [...form.querySelectorAll("button")];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (!button || form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    showProblem("");
    const fields = new URLSearchParams(new FormData(form));
    fields.set("thumb", button.value);
    try {
      const answer = await fetch(form.action, { method: "POST", body: fields, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(answer.status === 403 ? "The server was started again: load the page again." : "The rating could not be stored.");
      const { thumb } = await answer.json();
      for (const one of buttons) {
        const pressed = one.dataset.thumb === thumb;
        one.setAttribute("aria-pressed", String(pressed));
        one.value = pressed ? "none" : one.dataset.thumb;
      }
      status.textContent = thumb === "none" ? "The rating was taken back." : "The rating is stored.";
    } catch (error) {
      showProblem(error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message);
    } finally {
      form.ariaBusy = "false";
    }
  });
  // The second click of a double click is no change of mind.
  form.addEventListener("click", (event) => {
    if (event.detail > 1) event.preventDefault();
  });
}

const upload = document.getElementById("upload");
upload.hidden = false;
upload.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = upload.querySelector("button");
  const [file] = document.getElementById("file").files;
  showProblem("");
  status.textContent = "Listening to your sound …";
  button.disabled = true;
  try {
    const answer = await fetch("/sounds", { method: "POST", body: file, headers: { "X-Token": token, "Content-Type": "application/octet-stream" } });
    const said = await answer.json().catch(() => ({ problem: "The sound could not be read." }));
    if (said.location) {
      location.assign(said.location);
      return;
    }
    showProblem(said.problem);
  } catch {
    showProblem("The server does not answer. Is it still running, and is the file small enough?");
  } finally {
    button.disabled = false;
    status.textContent = "";
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, textarea, audio")) return;
  const hits = [...document.querySelectorAll(".hit")];
  const chosen = event.target.closest(".hit");
  const place = hits.indexOf(chosen);
  const key = event.key.toLowerCase();
  if (key === "/") {
    document.getElementById("q").select();
  } else if (key === "j" || key === "k") {
    const next = key === "j" ? Math.min(place + 1, hits.length - 1) : Math.max(place - 1, 0);
    hits[next]?.focus();
  } else if (chosen && key === "p") {
    const audio = chosen.querySelector("audio");
    if (audio.paused) audio.play().catch(() => {});
    else audio.pause();
  } else if (chosen && (key === "u" || key === "d")) {
    chosen.querySelector(`[data-thumb="${key === "u" ? "up" : "down"}"]`).click();
  } else {
    return;
  }
  event.preventDefault();
});
