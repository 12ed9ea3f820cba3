// Charts on a canvas: the laboratory and the report of `halley compare`.
import uPlot from "uplot";
export default uPlot;
