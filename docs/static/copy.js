// A button in each block of code that copies it without prompts and without what the code printed.
function copied(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  if (lines.some((line) => line.startsWith(">>> "))) {
    // An interactive session wants an empty line after an indented block, and none within it.
    const kept = [];
    let continued = false;
    for (const line of lines) {
      if (line.startsWith(">>> ")) {
        kept.push(...(continued ? [""] : []), line.slice(4));
        continued = false;
      } else if (line.startsWith("... ")) {
        kept.push(line.slice(4));
        continued = true;
      }
    }
    return kept.concat(continued ? [""] : []).join("\n");
  }
  if (lines[0].startsWith("$ ")) {
    const kept = [];
    let open = false;
    for (const line of lines) {
      if (open || line.startsWith("$ ")) {
        kept.push(line.replace(/^\$ /, ""));
        open = line.endsWith("\\");
      }
    }
    return kept.join("\n");
  }
  return lines.join("\n");
}

document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll("div.highlight")) {
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(`${copied(block.querySelector("pre").textContent)}\n`);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    block.appendChild(button);
  }
});
