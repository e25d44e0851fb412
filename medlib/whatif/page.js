// Sliders' handles have no name of their own; who hears the page instead of seeing it is told what stands beside them.
const name = () => document.querySelectorAll('.whatif .noUi-handle:not([aria-label])').forEach(handle => {
  const label = handle.closest('.widget-slider')?.querySelector('.widget-label');
  if (label?.textContent) handle.setAttribute('aria-label', label.textContent);
});
new MutationObserver(name).observe(document.body, {childList: true, subtree: true});
name();
