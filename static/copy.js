// Buttons that copy what stands in a field. Without JavaScript they are not there, and people copy by hand.
document.querySelectorAll("button[data-copies]").forEach((button) => {
  const field = document.getElementById(button.dataset.copies);
  const label = button.textContent;
  if (!field || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    } catch {
      field.select();
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  });
});
