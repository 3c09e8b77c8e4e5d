// Pictures lead to themselves in full size. On a narrow screen, wide ones can be moved sideways.
document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll("article img")) {
    if (picture.closest("a") !== null) continue;
    const link = document.createElement("a");
    link.href = picture.src;
    link.className = "picture";
    picture.replaceWith(link);
    link.appendChild(picture);
    const classify = () => {
      const { naturalWidth: width, naturalHeight: height } = picture;
      link.classList.toggle("wide", width > 900 && width > 1.8 * height);
    };
    if (picture.complete) classify();
    picture.addEventListener("load", classify);
  }
});
