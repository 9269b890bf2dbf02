"""The hosted pages' words in the languages of their readers: English as written, and Vietnamese."""

from typing import Any

from tests.stripe_simulator.periods import moment
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

LOCALES = ("en", "vi")


def locale_of(sim: Simulator, subject: Obj) -> str:
    """The session's own language, else the customer's first, else English."""
    customer = subject if subject.get("object") == "customer" else None
    if customer is None and subject.get("customer"):
        customer = sim.store.peek("customer", subject["customer"])
    preferred = (customer or {}).get("preferred_locales") or []
    for wanted in (subject.get("locale"), *preferred):
        short = str(wanted or "").partition("-")[0]
        if short in LOCALES:
            return short
    return "en"


def say(locale: str, text: str, **values: Any) -> str:
    """A text in a language, with `%(name)s` filled in; what nobody translated stays English."""
    found = VIETNAMESE.get(text, text) if locale == "vi" else text
    return found % values if values else found


def day(timestamp: int | None, locale: str = "en") -> str:
    if timestamp is None:
        return ""
    return moment(timestamp).strftime("%d/%m/%Y" if locale == "vi" else "%d %b %Y")


VIETNAMESE = {
    # every page
    "Skip to content": "Đến nội dung chính",
    "Simulator": "Mô phỏng",
    "no real money moves, and no card leaves this machine.": (
        "không có tiền thật, và không thẻ nào rời khỏi máy này."
    ),
    "Proration amounts come from this simulator. They were not compared with Stripe's.": (
        "Số tiền chia theo thời gian do trình mô phỏng tính, chưa đối chiếu với Stripe."
    ),
    # Checkout
    "Pay": "Thanh toán",
    "Subscribe": "Đăng ký",
    "Subscribe to %(product)s": "Đăng ký gói %(product)s",
    "Save a payment method": "Lưu phương thức thanh toán",
    "Save": "Lưu",
    "Start trial": "Bắt đầu dùng thử",
    "Pay %(amount)s": "Thanh toán %(amount)s",
    "Contact": "Liên hệ",
    "E-mail": "E-mail",
    "Name": "Tên",
    "Billing address": "Địa chỉ thanh toán",
    "Country": "Quốc gia",
    "Address": "Địa chỉ",
    "City": "Thành phố",
    "Postal code": "Mã bưu chính",
    "Payment method": "Phương thức thanh toán",
    "Cancel and return": "Hủy và quay lại",
    "Order summary": "Tóm tắt đơn hàng",
    "Due today": "Thanh toán hôm nay",
    "Tax is counted for the country of the address.": "Thuế tính theo quốc gia của địa chỉ.",
    "Update tax": "Tính lại thuế",
    "Promotion code": "Mã khuyến mãi",
    "Apply": "Áp dụng",
    "Discount": "Giảm giá",
    "Tax": "Thuế",
    "Tax (included)": "Thuế (đã gồm)",
    "per %(interval)s": "mỗi %(interval)s",
    "Free until %(day)s, then %(amount)s per %(interval)s": (
        "Miễn phí đến %(day)s, sau đó %(amount)s mỗi %(interval)s"
    ),
    "day": "ngày",
    "week": "tuần",
    "month": "tháng",
    "year": "năm",
    "This Checkout page has expired": "Trang thanh toán này đã hết hạn",
    "Nothing was charged. Go back and start again.": (
        "Chưa thu khoản nào. Hãy quay lại và bắt đầu lần nữa."
    ),
    "Go back": "Quay lại",
    "All done": "Đã xong",
    "This Checkout session is complete. It cannot be paid twice.": (
        "Phiên thanh toán này đã hoàn tất và không thể trả hai lần."
    ),
    "Return to the seller": "Trở về trang người bán",
    # payment methods
    "The payment succeeds.": "Thanh toán thành công.",
    "The bank asks for 3-D Secure first.": "Ngân hàng yêu cầu 3-D Secure trước.",
    "The card is declined.": "Thẻ bị từ chối.",
    "Declined: insufficient funds.": "Bị từ chối: không đủ tiền.",
    "A debit that succeeds days later.": "Lệnh ghi nợ thành công sau vài ngày.",
    "A debit that fails days later.": "Lệnh ghi nợ thất bại sau vài ngày.",
    "Your card was declined.": "Thẻ của bạn bị từ chối.",
    "Your card has insufficient funds.": "Thẻ của bạn không đủ tiền.",
    "Your card has expired.": "Thẻ của bạn đã hết hạn.",
    # the bank's page
    "Confirm with your bank": "Xác nhận với ngân hàng",
    "3-D Secure: confirm with your bank": "3-D Secure: xác nhận với ngân hàng",
    "Your bank asks whether you make this payment of %(amount)s to %(seller)s.": (
        "Ngân hàng hỏi có phải bạn trả %(amount)s cho %(seller)s."
    ),
    "Your bank asks whether you make this payment to %(seller)s.": (
        "Ngân hàng hỏi có phải bạn trả khoản này cho %(seller)s."
    ),
    "Complete": "Xác nhận",
    "Fail": "Từ chối",
    # the portal
    "Billing": "Thanh toán",
    "%(seller)s: billing": "%(seller)s: thanh toán",
    "Return to %(seller)s": "Trở về %(seller)s",
    "Current plan": "Gói hiện tại",
    "Ends on %(day)s.": "Kết thúc ngày %(day)s.",
    "Renews on %(day)s.": "Gia hạn ngày %(day)s.",
    "Plan": "Gói",
    "Quantity": "Số lượng",
    "Update plan": "Đổi gói",
    "Keep the plan": "Giữ gói",
    "Why do you cancel? (optional)": "Vì sao bạn hủy? (không bắt buộc)",
    "No reason given": "Không nêu lý do",
    "Cancel plan": "Hủy gói",
    "There is no plan.": "Chưa có gói nào.",
    "Payment methods": "Phương thức thanh toán",
    "Default": "Mặc định",
    "Make default": "Đặt làm mặc định",
    "Remove": "Xóa",
    "None yet.": "Chưa có.",
    "Add a payment method": "Thêm phương thức thanh toán",
    "Add payment method": "Thêm phương thức thanh toán",
    "Billing details": "Thông tin thanh toán",
    "Kind of tax id": "Loại mã số thuế",
    "Tax id": "Mã số thuế",
    "Save details": "Lưu thông tin",
    "Invoices": "Hóa đơn",
    "%(brand)s ending in %(last4)s, expires %(expires)s": (
        "%(brand)s kết thúc bằng %(last4)s, hết hạn %(expires)s"
    ),
    "Bank account ending in %(last4)s": "Tài khoản ngân hàng kết thúc bằng %(last4)s",
    "%(amount)s per %(interval)s": "%(amount)s mỗi %(interval)s",
    "metered": "theo mức dùng",
    "It is too expensive": "Quá đắt",
    "Features I need are missing": "Thiếu tính năng tôi cần",
    "I found another service": "Tôi tìm được dịch vụ khác",
    "I do not use it enough": "Tôi ít dùng",
    "Customer service was not good enough": "Hỗ trợ khách hàng chưa tốt",
    "It is too complex": "Quá phức tạp",
    "The quality was not good enough": "Chất lượng chưa tốt",
    "Another reason": "Lý do khác",
    "active": "đang hoạt động",
    "trialing": "dùng thử",
    "past_due": "quá hạn",
    "unpaid": "chưa trả",
    "paused": "tạm dừng",
    "incomplete": "chưa hoàn tất",
    "paid": "đã trả",
    "open": "chưa trả",
    "void": "đã hủy",
    "uncollectible": "không thu được",
    # a change of plan
    "Confirm your change": "Xác nhận thay đổi",
    "The change begins with the next period. Nothing is due today.": (
        "Thay đổi có hiệu lực từ kỳ sau. Hôm nay không phải trả gì."
    ),
    "Next invoice": "Hóa đơn kế tiếp",
    "Confirm": "Xác nhận",
    # the invoice
    "Invoice": "Hóa đơn",
    "Invoice %(number)s": "Hóa đơn %(number)s",
    "Credit note": "Giấy báo có",
    "The bank debit is on its way. It takes some days.": "Lệnh ghi nợ đang đi, mất vài ngày.",
    "due": "phải trả",
    "due by %(day)s": "phải trả trước ngày %(day)s",
    "From": "Bên bán",
    "To": "Bên mua",
    "Date": "Ngày",
    "Due": "Hạn trả",
    "Number": "Số",
    "Status": "Trạng thái",
    "Lines of the invoice": "Các dòng của hóa đơn",
    "Description": "Nội dung",
    "Period": "Kỳ",
    "%(first)s to %(last)s": "%(first)s đến %(last)s",
    "Qty": "SL",
    "Amount": "Số tiền",
    "Subtotal": "Tạm tính",
    "Total": "Tổng cộng",
    "Applied balance": "Trừ số dư",
    "Paid": "Đã trả",
    "Amount due": "Còn phải trả",
    "Of invoice": "Của hóa đơn",
    "Credited": "Ghi có",
    "Download the invoice as PDF": "Tải hóa đơn PDF",
    "Pay this invoice": "Trả hóa đơn này",
    "Made by a simulator: no money moved. Proration amounts are not Stripe's.": (
        "Do trình mô phỏng lập: không có tiền thật. Số tiền chia theo kỳ không phải của Stripe."
    ),
}
