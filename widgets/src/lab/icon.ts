/** A front of laws: points on a falling staircase. */

import { LabIcon } from "@jupyterlab/ui-components";

export const icon = new LabIcon({
  name: "nbsr:front",
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16"><g class="jp-icon3" fill="#616161">' +
    '<path d="M2 1h1v12h12v1H2z"/><circle cx="5" cy="3.5" r="1.5"/><circle cx="8" cy="8" r="1.5"/><circle cx="12.5" cy="10.5" r="1.5"/>' +
    '<path d="M5 3h3.5v4.5h4V11h-1V8.500h-4V4H5z" opacity=".5"/></g></svg>',
});
