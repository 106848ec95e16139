"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const key = () => (at("key").value ? { authorization: "Bearer " + at("key").value } : {});

  // documents stand apart by empty lines; without any, each line is one
  function documents() {
    const text = at("documents").value.replace(/\r/g, "").trim();
    const parts = /\n\s*\n/.test(text) ? text.split(/\n\s*\n/) : text.split("\n");
    return parts.map((one) => one.trim()).filter(Boolean);
  }

  function item(result, texts, cut, scale) {
    const li = document.createElement("li");
    const score = document.createElement("div");
    score.className = "score";
    score.textContent = result.relevance_score.toFixed(4);
    score.title = String(result.relevance_score);
    const bar = document.createElement("span");
    bar.className = "bar";
    const fill = document.createElement("i");
    fill.style.width = (100 * scale(result.relevance_score)).toFixed(1) + "%";
    bar.append(fill);
    score.append(bar);
    const text = document.createElement("p");
    text.className = "text";
    if (cut.includes(result.index)) {
      const chip = document.createElement("span");
      chip.className = "chip";
      chip.textContent = "cut";
      chip.title = "the model did not read this document to its end";
      text.append(chip);
    }
    text.append(texts[result.index]);
    li.append(score, text);
    li.dataset.index = result.index;
    return li;
  }

  function show(answer, texts, headers) {
    const shown = answer.results.map((one) => one.relevance_score);
    const [low, high] = [Math.min(...shown), Math.max(...shown)];
    const raw = at("scores").value === "raw";
    const scale = (x) => (raw ? (high > low ? (x - low) / (high - low) : 1) : x);
    const cut = answer.meta.truncated || [];
    at("ranking").replaceChildren(...answer.results.map((one) => item(one, texts, cut, scale)));
    const ms = (name) => headers.get(name) + " ms";
    at("timings").textContent =
      `${answer.model}: ${texts.length} documents, ${answer.usage.total_tokens} tokens in ${ms("x-total-time")} ` +
      `(tokenising ${ms("x-tokenization-time")}, waiting ${ms("x-queue-time")}, computing ${ms("x-inference-time")})`;
    const told = [...(answer.meta.warnings || [])];
    if (cut.length) told.unshift(`${cut.length} of ${texts.length} documents were cut: the model does not read them to their end`);
    at("cut").textContent = told.join("; ");
    at("cut").hidden = !told.length;
    at("found").hidden = false;
  }

  function fail(sentence) {
    at("problem").textContent = sentence;
    at("problem").hidden = false;
    at("found").hidden = true;
  }

  async function rank() {
    at("problem").hidden = true;
    at("go").disabled = true;
    const texts = documents();
    const body = { query: at("query").value, documents: texts, raw_scores: at("scores").value === "raw" };
    if (at("model").value) body.model = at("model").value;
    try {
      const answer = await fetch("/v1/rerank", {
        method: "POST", headers: { "content-type": "application/json", ...key() }, body: JSON.stringify(body),
      });
      const found = await answer.json();
      if (answer.ok) show(found, texts, answer.headers);
      else fail(found.message || (found.error && found.error.message) || "status " + answer.status);
    } catch (error) {
      fail("the server does not answer (" + error.message + ")");
    }
    at("go").disabled = false;
    document.documentElement.dataset.ready = "yes";
  }

  async function served() {
    const answer = await fetch("/v1/models", { headers: key() });
    if (!answer.ok) return;
    const models = (await answer.json()).data;
    at("served").textContent = "Served: " + models.map((one) => one.id).join(", ") + ".";
    if (models.length < 2) return;
    at("model").replaceChildren(...models.map((one) => new Option(one.id, one.id)));
    at("model-field").hidden = false;
  }

  at("form").addEventListener("submit", (event) => { event.preventDefault(); rank(); });
  at("key").addEventListener("change", served);
  served().catch(() => {});
  // an address such as /?go ranks what stands there at once
  if (new URLSearchParams(location.search).has("go")) rank();
})();
